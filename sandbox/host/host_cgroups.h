#ifndef PODVISOR_SANDBOX_HOST_HOST_CGROUPS_H_
#define PODVISOR_SANDBOX_HOST_HOST_CGROUPS_H_

#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/ids.h"
#include "sandbox/host/cgroup_mounts.h"
#include "sandbox/host/pod_cgroup.h"

namespace podvisor {

// Makes and removes the pods' cgroups of this host, in every tree that there
// is. A pod's cgroup is named after the pod's id and lies below its
// cgroup_parent, so that the pod's record is all that a later daemon needs to
// find it.
//
// A parent that is not there is made, and carries a mark (an extended
// attribute) by which Remove() knows it: the last pod takes it along, but never
// one that the kubelet has made.
//
// Thread-safe.
class HostCgroups {
 public:
  // `clock` outlives the object. No mounts: a host without cgroups.
  HostCgroups(std::vector<CgroupMount> mounts, Clock* clock);

  // Makes the pod's cgroup, or takes the one that is there. A tree in which
  // nobody can make one (it is gone, read-only, or forbidden) is left out,
  // which is logged once for each tree: whoever then needs it gets the error.
  // InvalidArgument: see CgroupParentPath(). Else, where it cannot be made in a
  // tree, that error: no VM may run outside of the limits of its parent.
  // Remove() removes what was made.
  absl::StatusOr<PodCgroup> Create(absl::string_view cgroup_parent,
                                   const PodId& id) ABSL_LOCKS_EXCLUDED(mutex_);

  // The cgroup of a pod that an earlier daemon made, in the trees where it is
  // there.
  PodCgroup Open(absl::string_view cgroup_parent, const PodId& id) const;

  // Removes the pod's cgroup. Its processes have been killed; those that are
  // still ending are waited for. OK when it is not there, as with a parent
  // that Create() refuses. DeadlineExceeded.
  absl::Status Remove(absl::string_view cgroup_parent, const PodId& id,
                      absl::Time deadline) ABSL_LOCKS_EXCLUDED(mutex_);

  // The same for a pod whose record is lost, wherever its cgroup is. Looks at
  // all cgroups of the host.
  absl::Status RemoveStray(const PodId& id, absl::Time deadline)
      ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  absl::Status RemoveDirectory(const std::string& path, absl::Time deadline);
  void LogOnce(const CgroupMount& mount, const absl::Status& status)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::vector<CgroupMount> mounts_;
  Clock* const clock_;
  // No parent goes between its being seen and a child's being made in it.
  absl::Mutex mutex_;
  std::set<std::string> logged_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_HOST_HOST_CGROUPS_H_
