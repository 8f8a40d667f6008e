#ifndef PODVISOR_CRI_FILTERS_H_
#define PODVISOR_CRI_FILTERS_H_

#include <vector>

#include "absl/types/span.h"
#include "base/ids.h"
#include "sandbox/record/pod_snapshot.h"
#include "third_party/cri_api/api.pb.h"

namespace podvisor {

// Which snapshots a request means. Pure.
//
// People type the first digits of an id, and crictl hands them on, so that
// every id in a request may be a unique prefix. An id that is complete wins
// over longer ones; a prefix of several means none of them.

// The snapshots that match all that the filter gives, in their order. Pods and
// containers that are still being created match nothing. The pointers are into
// the span.
std::vector<const PodSnapshot*> FilterPods(
    const runtime::v1::PodSandboxFilter& filter,
    absl::Span<const PodSnapshot> pods);

// `pods` are all that there are, to resolve pod_sandbox_id.
std::vector<const ContainerSnapshot*> FilterContainers(
    const runtime::v1::ContainerFilter& filter,
    absl::Span<const ContainerSnapshot> containers,
    absl::Span<const PodId> pods);

// Only running containers.
std::vector<const ContainerStatsSnapshot*> FilterStats(
    const runtime::v1::ContainerStatsFilter& filter,
    absl::Span<const ContainerStatsSnapshot> stats,
    absl::Span<const PodId> pods);

}  // namespace podvisor

#endif  // PODVISOR_CRI_FILTERS_H_
