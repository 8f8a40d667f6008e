#ifndef PODVISOR_SANDBOX_HOST_POD_CGROUP_H_
#define PODVISOR_SANDBOX_HOST_POD_CGROUP_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "sandbox/host/cgroup_mounts.h"
#include "sandbox/record/block_io.h"

namespace podvisor {

// The host's cgroup of one pod: QEMU with its vCPU threads, and virtiofsd, are
// in it. It is one directory in each tree of cgroups that could be used; there
// may be none.
//
// A name for kernel state, made and removed by HostCgroups. A value.
class PodCgroup {
 public:
  // One directory; `tree.path` is where its tree is mounted.
  struct Directory {
    CgroupMount tree;
    std::string path;

    bool operator==(const Directory&) const = default;
  };

  PodCgroup() = default;
  // `path` is the cgroup's own, the same in every tree.
  PodCgroup(std::string path, std::vector<Directory> directories);

  // "/kubepods/pod1/podvisor-<id>"; empty where no tree could be used.
  const std::string& path() const { return path_; }
  const std::vector<Directory>& directories() const { return directories_; }

  // Whoever writes "0" into each of them is in the cgroup.
  std::vector<std::string> ProcsFiles() const;

  // How much CPU time all of the pod's processes get, in milli-CPU; nullopt:
  // as much as there is. Read back from the kernel.
  absl::StatusOr<std::optional<int64_t>> CpuLimit() const;

  // Sets that. With cgroup v1 a limit above the parent's, which the kernel does
  // not take, leaves the parent's in force. FailedPrecondition where a limit is
  // wanted and the host has no controller for it.
  absl::Status SetCpuLimit(std::optional<int64_t> milli_cpu) const;

  // The same, unless the limit is as high already.
  absl::Status RaiseCpuLimit(std::optional<int64_t> milli_cpu) const;

  // Sets what the processes may do to the host's disks.
  //
  // InvalidArgument, naming the device, for one that is not there or is no
  // block device. FailedPrecondition for a limit that this host does not have,
  // or that the kernel refuses.
  absl::Status LimitBlockIo(absl::Span<const BlockIoLimit> limits) const;

 private:
  // The directory where a controller is, by its v1 name; without such a tree
  // the v2 one. Null when there is neither.
  const Directory* Find(absl::string_view v1_controller) const;

  std::string path_;
  std::vector<Directory> directories_;
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_HOST_POD_CGROUP_H_
