#ifndef PODVISOR_SANDBOX_SIZE_RESIZE_METRICS_H_
#define PODVISOR_SANDBOX_SIZE_RESIZE_METRICS_H_

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/ids.h"
#include "hotplug/vm_limits.h"
#include "hotplug/vm_resizer.h"
#include "metrics/pod_metrics.h"

namespace podvisor {

// One VmResizer::Resize() or Grow() and what came of it.
struct ResizeAttempt {
  VmLimits limits;
  VmState before = {};  // as observed
  VmSize target;
  bool only_grows = false;
  absl::StatusOr<ResizeOutcome> outcome = ResizeOutcome();
  absl::Duration took = absl::ZeroDuration();
};

// Counts the attempt, once for each resource that had to change and in the
// direction in which it had to: "ok", "partial" (the guest keeps some of it, or
// has not taken all of it yet) or "failed". One that did not fail is also
// measured: "vm" is the time at QEMU, "guest" that of waiting for the guest,
// "total" all of it. Nothing when there was nothing to do.
void RecordResize(const PodId& pod, const ResizeAttempt& attempt,
                  PodMetrics& metrics);

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_SIZE_RESIZE_METRICS_H_
