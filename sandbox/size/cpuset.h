#ifndef PODVISOR_SANDBOX_SIZE_CPUSET_H_
#define PODVISOR_SANDBOX_SIZE_CPUSET_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/cpu_list.h"
#include "hotplug/container_resources.h"

namespace podvisor {

// What the `cpuset_cpus` of containers mean for one pod. All pure.

// kPin: host CPUs, as the kubelet's static policy means them; the vCPUs'
// threads are kept to them and no container gets a cpuset. kGuest: CPUs of the
// guest, for the container's own cgroup.
enum class CpusetMode { kPin, kGuest };

// Whether the CPUs that a container names are there: among `host_cpus` (online
// on the host), or among the `vcpus` that the VM is to have with it.
//
// InvalidArgument, naming what would be possible.
absl::Status CheckCpuset(CpusetMode mode, const ContainerResources& container,
                         const CpuList& host_cpus, int vcpus);

// Where on the host a pod's vCPUs may run: the union of what its containers
// name. Empty, for anywhere, where none of them does, and with kGuest.
//
// InvalidArgument for a text that is no list of CPUs.
absl::StatusOr<CpuList> PinnedCpus(
    CpusetMode mode, absl::Span<const ContainerResources> containers);

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_SIZE_CPUSET_H_
