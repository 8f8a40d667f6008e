#ifndef PODVISOR_HOTPLUG_CONTAINER_RESOURCES_H_
#define PODVISOR_HOTPLUG_CONTAINER_RESOURCES_H_

#include <cstdint>
#include <map>
#include <string>

namespace podvisor {

// What one container (or, for pod-level resources, one pod) asks for, in the
// units and with the zeroes of CRI's LinuxContainerResources: zero or empty
// means "not given". A value; no thread has to care.
struct ContainerResources {
  int64_t cpu_period = 0;  // microseconds
  int64_t cpu_quota = 0;   // microseconds in each period; -1: no limit
  int64_t cpu_shares = 0;  // cgroup v1 units
  int64_t memory_limit_bytes = 0;
  int64_t memory_swap_limit_bytes = 0;
  int64_t oom_score_adj = 0;
  std::string cpuset_cpus;
  std::string cpuset_mems;
  std::map<std::string, int64_t> hugepage_limits;  // page size -> bytes
  std::map<std::string, std::string> unified;      // cgroup v2 file -> value

  bool operator==(const ContainerResources&) const = default;
};

}  // namespace podvisor

#endif  // PODVISOR_HOTPLUG_CONTAINER_RESOURCES_H_
