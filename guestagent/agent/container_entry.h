#ifndef PODVISOR_GUESTAGENT_AGENT_CONTAINER_ENTRY_H_
#define PODVISOR_GUESTAGENT_AGENT_CONTAINER_ENTRY_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "base/deadline.h"
#include "base/unique_fd.h"
#include "guestagent/agent.pb.h"
#include "guestagent/agent/cgroup_directory.h"
#include "guestagent/agent/container_files.h"
#include "guestagent/agent/container_input.h"
#include "guestagent/agent/container_layer_usage.h"
#include "guestagent/agent/container_output.h"

namespace podvisor {

// One container between Create and Delete.
//
// Lifecycle: made empty (state unspecified), filled once by Create, then
// CREATED, RUNNING, EXITED in this order, perhaps without RUNNING; gone at the
// end. `operation_mutex` is held by whoever takes it from one to the next on
// request (create, start, update, delete); only the exit comes by itself.
class ContainerEntry {
 public:
  using State = agent::v1::ContainerState;

  ContainerEntry(std::string id, std::string cgroup_path)
      : id_(std::move(id)), cgroup_(std::move(cgroup_path)) {}
  ContainerEntry(const ContainerEntry&) = delete;
  ContainerEntry& operator=(const ContainerEntry&) = delete;

  absl::Mutex operation_mutex ABSL_ACQUIRED_BEFORE(mutex_);

  // Written by Create before MarkCreated(), by Delete after the exit.
  std::unique_ptr<ContainerFiles> files ABSL_GUARDED_BY(operation_mutex);

  const std::string& id() const { return id_; }
  const CgroupDirectory& cgroup() const { return cgroup_; }

  // What is constant once the container is created, with its state.
  struct View {
    State::State state = State::STATE_UNSPECIFIED;
    pid_t pid = 0;
    int oom_score_adj = 0;
    std::string bundle_dir;
    std::string scratch_dir;
    std::shared_ptr<ContainerInput> input;
    std::shared_ptr<ContainerOutput> output;
    agent::v1::ContainerExit exit;  // when EXITED
    // Why it cannot start: it has no process then, and never gets one.
    absl::Status start_error;
  };
  View Look() const;

  // The first process exists, and `pidfd` names it for good; or there is none,
  // and `view` has a start_error. The state and exit of `view` are not looked
  // at.
  void MarkCreated(View view, UniqueFd pidfd);
  // Nothing when the process has exited meanwhile.
  void MarkRunning();
  void MarkExited(const agent::v1::ContainerExit& exit);
  void MarkGone();
  bool IsGone() const;

  // OK when the process is gone already.
  absl::Status SignalFirstProcess(int signal) const;

  // False when the container still runs at the deadline. At once for one that
  // never got a process.
  bool AwaitExit(Deadline deadline) const;

  // The writable layer's size, measured at most once in 10 s.
  LayerUsage MeasuredLayer();

 private:
  const std::string id_;
  const CgroupDirectory cgroup_;

  mutable absl::Mutex mutex_;
  View view_ ABSL_GUARDED_BY(mutex_);
  UniqueFd pidfd_ ABSL_GUARDED_BY(mutex_);
  bool gone_ ABSL_GUARDED_BY(mutex_) = false;
  LayerUsage layer_usage_ ABSL_GUARDED_BY(mutex_);
  Deadline layer_fresh_until_ ABSL_GUARDED_BY(mutex_) = Deadline::Now();
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_CONTAINER_ENTRY_H_
