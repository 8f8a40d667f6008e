#ifndef PODVISOR_SANDBOX_PARTS_CGROUP_RESTORE_H_
#define PODVISOR_SANDBOX_PARTS_CGROUP_RESTORE_H_

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "guestagent/client/guest_agent.h"
#include "sandbox/parts/pod_containers.h"
#include "sandbox/size/cpuset.h"

namespace podvisor {

// Gives the containers' cgroups in the guest, where it is not known what they
// have, what they are to have. Where that fails, the container's status is to
// show what the guest says that it has.
//
// Waits for no container: Unavailable where one is being worked on. Errors: the
// agent's, and that; the other containers get theirs all the same.
absl::Status RestoreCgroups(const PodContainers& containers, GuestAgent& agent,
                            CpusetMode cpuset, absl::Time deadline);

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_PARTS_CGROUP_RESTORE_H_
