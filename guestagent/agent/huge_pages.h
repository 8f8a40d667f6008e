#ifndef PODVISOR_GUESTAGENT_AGENT_HUGE_PAGES_H_
#define PODVISOR_GUESTAGENT_AGENT_HUGE_PAGES_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "guestagent/agent.pb.h"

namespace podvisor {

// Huge pages are made on demand, out of ordinary memory that no memory limit
// counts (before Linux 6.6): so a container gets none but what it was granted,
// by the files "hugetlb.SIZE.max" and "hugetlb.SIZE.rsvd.max" of its cgroup.

// The sizes of which containers can have pages, written as in those files
// ("2MB"). `directory` is the kernel's /sys/kernel/mm/hugepages; sizes whose
// pages cannot be made on demand (1 GiB) are not among them.
std::vector<std::string> HugePageSizes(const std::string& directory);

// For an update: checks what `resources` grant of huge pages. A grant of none
// is dropped where the guest has no such pages: it holds anyway. Any other is
// InvalidArgument then, naming the size. Pure.
absl::Status CheckHugePages(const std::vector<std::string>& sizes,
                            agent::v1::LinuxResources* resources);

// For a new container: the same, and grants none of every other size.
absl::Status LimitHugePages(const std::vector<std::string>& sizes,
                            agent::v1::LinuxResources* resources);

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_HUGE_PAGES_H_
