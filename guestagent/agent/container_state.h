// The inside of ContainerRuntime, shared by the files that implement it.

#ifndef PODVISOR_GUESTAGENT_AGENT_CONTAINER_STATE_H_
#define PODVISOR_GUESTAGENT_AGENT_CONTAINER_STATE_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "guestagent/agent/child_reaper.h"
#include "guestagent/agent/container_entry.h"
#include "guestagent/agent/container_exits.h"
#include "guestagent/agent/container_runtime.h"
#include "guestagent/agent/container_stats.h"
#include "guestagent/agent/crun_driver.h"
#include "guestagent/agent/kernel_modules.h"
#include "guestagent/agent/output_pump.h"
#include "guestagent/agent/sandbox_namespaces.h"

namespace podvisor {

inline constexpr char kCgroupRoot[] = "/sys/fs/cgroup";
inline constexpr char kHugePages[] = "/sys/kernel/mm/hugepages";
// One crun takes 0.1 s on a free CPU and 1 s on a crowded one.
inline constexpr absl::Duration kCrunTimeout = absl::Seconds(30);

class ContainerRuntime::State {
 public:
  State(SandboxPaths sandbox_paths, SandboxNamespaces* sandbox_namespaces,
        KernelModules* kernel_modules, ChildReaper* child_reaper);

  // NotFound.
  absl::StatusOr<std::shared_ptr<ContainerEntry>> Find(
      const std::string& container_id) const;
  // AlreadyExists.
  absl::StatusOr<std::shared_ptr<ContainerEntry>> Insert(
      const std::string& container_id);
  void Erase(const std::string& container_id);
  std::vector<std::shared_ptr<ContainerEntry>> All() const;

  // Makes the container of a new entry; on error nothing of it is left. See
  // container_create.cc.
  absl::Status Create(const agent::v1::ContainerSpec& spec,
                      const std::shared_ptr<ContainerEntry>& entry,
                      agent::v1::CreateContainerResponse* response)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(entry->operation_mutex);

  std::string BundleDir(const std::string& container_id) const {
    return paths.run_dir + "/containers/" + container_id;
  }

  const SandboxPaths paths;
  SandboxNamespaces* const namespaces;
  KernelModules* const modules;
  ChildReaper* const reaper;
  const CrunDriver crun;
  const StatsReader stats{StatsReader::Paths()};
  SystemClock clock;
  OutputPump pump;
  // The reaper's callbacks may outlive the runtime.
  const std::shared_ptr<ContainerExits> exits;

 private:
  mutable absl::Mutex mutex_;
  std::map<std::string, std::shared_ptr<ContainerEntry>> entries_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_CONTAINER_STATE_H_
