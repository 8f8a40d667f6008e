#ifndef PODVISOR_GUESTAGENT_AGENT_CGROUP_DIRECTORY_H_
#define PODVISOR_GUESTAGENT_AGENT_CGROUP_DIRECTORY_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/deadline.h"
#include "guestagent/agent.pb.h"

namespace podvisor {

// One container's cgroup v2 directory. crun makes it; this reads it, changes
// it and takes it away without starting a program.
//
// Thread-safe: holds a path only. NotFound when the cgroup is gone.
class CgroupDirectory {
 public:
  explicit CgroupDirectory(std::string path) : path_(std::move(path)) {}

  const std::string& path() const { return path_; }

  // Up to 64 KiB of a file; empty when it is missing or longer.
  std::string Read(absl::string_view file) const;

  // Applies `resources`; zero fields stay. A memory limit below the present
  // usage is first made room for by reclaim, and never written while it would
  // kill: then FailedPrecondition. A refused value is InvalidArgument, a
  // controller that the guest does not have FailedPrecondition. After an error
  // all is as it was.
  absl::Status Update(const agent::v1::LinuxResources& resources) const;

  // What it has now, with these files (see CheckCgroupFiles()) besides.
  absl::StatusOr<agent::v1::ReadCgroupResponse> ReadResources(
      const google::protobuf::RepeatedPtrField<std::string>& files) const;

  // True when the kernel killed a process here for want of memory.
  bool HadOomKill() const;

  // SIGKILL for every process in it and below. A missing cgroup is OK.
  absl::Status KillAll() const;

  // A signal for each process that is in it now.
  absl::Status SignalAll(int signal) const;

  // Removes the directory, and what is below it, once it has no process any
  // more. DeadlineExceeded while it has. A missing one is OK.
  absl::Status Remove(Deadline deadline) const;

 private:
  class Changes;

  // The text of a file that has one line; nullopt for every other.
  std::optional<std::string> ReadLine(absl::string_view file) const;
  absl::Status Write(absl::string_view file, absl::string_view value) const;
  absl::Status SetMemoryLimit(int64_t limit_bytes) const;
  absl::Status Reclaim(uint64_t limit_bytes) const;

  std::string path_;
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_CGROUP_DIRECTORY_H_
