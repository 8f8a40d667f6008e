#ifndef PODVISOR_SANDBOX_HOST_CGROUP_PATH_H_
#define PODVISOR_SANDBOX_HOST_CGROUP_PATH_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/ids.h"

namespace podvisor {

// The parent of pods that name none.
inline constexpr char kDefaultCgroupParent[] = "/podvisor";

// Where `cgroup_parent` of a pod is in a tree of cgroups: "/" and a name, any
// number of times. It is one of
//
//   ""                       kDefaultCgroupParent
//   "/kubepods/pod1"         itself: the kubelet with the cgroupfs driver
//   "/a.slice/a-b.slice"     itself: the kubelet with the systemd driver
//   "a-b.slice"              "/a.slice/a-b.slice", see systemd.slice(5)
//
// Pure. InvalidArgument for anything else, for a path that leaves the tree, and
// for one that is longer than a path may be.
absl::StatusOr<std::string> CgroupParentPath(absl::string_view cgroup_parent);

// The name, below that parent, of the cgroup of a pod's processes.
std::string PodCgroupName(const PodId& id);

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_HOST_CGROUP_PATH_H_
