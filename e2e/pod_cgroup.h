#ifndef PODVISOR_E2E_POD_CGROUP_H_
#define PODVISOR_E2E_POD_CGROUP_H_

#include <cstdint>
#include <string>
#include <vector>

namespace podvisor::e2e {

// What the host's kernel says of a pod's cgroup and processes.

// Where this host has mounted cgroups: one place for each tree.
std::vector<std::string> CgroupTrees();

// The first of these files that `cgroup` has in any tree, without its line end;
// or "none".
std::string CgroupFile(const std::string& cgroup,
                       const std::vector<std::string>& names);

// How many files a process may have open; -1 for one that is gone.
int64_t OpenFilesLimit(int64_t pid);

}  // namespace podvisor::e2e

#endif  // PODVISOR_E2E_POD_CGROUP_H_
