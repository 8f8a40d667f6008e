#ifndef PODVISOR_CRI_CONVERT_POD_METRICS_H_
#define PODVISOR_CRI_CONVERT_POD_METRICS_H_

#include <vector>

#include "absl/types/span.h"
#include "sandbox/record/pod_snapshot.h"
#include "third_party/cri_api/api.pb.h"

namespace podvisor {

// The metrics that kubelet shows at /metrics/cadvisor when it asks the runtime
// for them: cAdvisor's names, of what the guest's kernel counts. Pure; one
// table makes both the descriptors and the metrics.
//
// Labels are id, name and image (those of a pod have the name "POD" and no
// image), then what one series differs from the next in. kubelet adds
// namespace, pod and container. CRI's values are whole numbers, so that seconds
// are cut.

// All that ToPodSandboxMetrics() may have, in the order of their names.
std::vector<runtime::v1::MetricDescriptor> MetricDescriptors();

// Of the pod's network, and of each of its running containers. What was not
// measured is left out. Times are those of the samples, and 0 for what the
// daemon knows by itself. `containers` may be those of all pods.
runtime::v1::PodSandboxMetrics ToPodSandboxMetrics(
    const PodSnapshot& pod,
    absl::Span<const ContainerStatsSnapshot> containers);

}  // namespace podvisor

#endif  // PODVISOR_CRI_CONVERT_POD_METRICS_H_
