#ifndef PODVISOR_CRI_CONVERT_RESOURCES_H_
#define PODVISOR_CRI_CONVERT_RESOURCES_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "hotplug/container_resources.h"
#include "third_party/cri_api/api.pb.h"

namespace podvisor {

// CRI's resources to ours. Zero stays "not given". `field` names the message
// in errors. Pure.
//
// InvalidArgument for what no cgroup can have: negative or beyond 2^62 (only
// cpu_quota and memory_swap_limit_in_bytes know -1, "no limit"), a period
// outside of 1 ms to 1 s, a quota below 1 ms, malformed cpusets, a NUMA node
// (the guest has only node 0), a cgroup file that is no plain name, or one of
// the cpuset controller, and what DemandOf() refuses.
absl::StatusOr<ContainerResources> ConvertResources(
    const runtime::v1::LinuxContainerResources& resources,
    absl::string_view field);

runtime::v1::LinuxContainerResources ToLinuxResources(
    const ContainerResources& resources);

}  // namespace podvisor

#endif  // PODVISOR_CRI_CONVERT_RESOURCES_H_
