#ifndef PODVISOR_SANDBOX_RESIZE_METRICS_H_
#define PODVISOR_SANDBOX_RESIZE_METRICS_H_

#include "absl/status/statusor.h"
#include "base/ids.h"
#include "hotplug/vm_resizer.h"
#include "metrics/pod_metrics.h"

namespace podvisor {

// Counts one resize of a VM from `before` to `target`: once for each resource
// that was to change, with result "ok", "partial" (a shortfall) or "failed",
// and the duration of each of its phases. Nothing when nothing was to change.
void RecordResize(const PodId& pod, const VmSize& before, const VmSize& target,
                  const absl::StatusOr<ResizeOutcome>& outcome,
                  PodMetrics& metrics);

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_RESIZE_METRICS_H_
