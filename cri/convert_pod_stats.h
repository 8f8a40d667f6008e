#ifndef PODVISOR_CRI_CONVERT_POD_STATS_H_
#define PODVISOR_CRI_CONVERT_POD_STATS_H_

#include <string>

#include "absl/types/span.h"
#include "sandbox/record/pod_snapshot.h"
#include "third_party/cri_api/api.pb.h"

namespace podvisor {

// What a pod uses: its running containers together, as a pod's cgroup on any
// node has it. What the VM needs for itself is RuntimeClass overhead and in
// the metrics, not here. Pure.
//
// Pressure is that of the cgroup of all containers; the network's counters are
// those of the pod's interfaces, the oldest of which is the default one.
//
// `containers` may be those of all pods. Times are those of the newest sample;
// a pod without one is known to use nothing since it was created.
runtime::v1::PodSandboxStats ToPodSandboxStats(
    const PodSnapshot& pod, absl::Span<const ContainerStatsSnapshot> containers,
    const std::string& writable_layers_directory);

}  // namespace podvisor

#endif  // PODVISOR_CRI_CONVERT_POD_STATS_H_
