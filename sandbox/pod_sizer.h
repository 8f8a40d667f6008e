#ifndef PODVISOR_SANDBOX_POD_SIZER_H_
#define PODVISOR_SANDBOX_POD_SIZER_H_

#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/ids.h"
#include "hotplug/pod_demand.h"
#include "hotplug/vm_limits.h"
#include "hotplug/vm_resizer.h"
#include "metrics/pod_metrics.h"
#include "sandbox/pod_snapshot.h"
#include "sandbox/vm.h"

namespace podvisor {

// Keeps one VM at the size that its pod wants, and knows what it really has.
//
// Grow() and Settle() are for one thread at a time (the pod's operation lock);
// sizes() and last_error() may be read beside them and never wait for the VM.
class PodSizer {
 public:
  // Borrows `vm`, `clock` and `metrics`, which outlive it.
  PodSizer(const PodId& pod, Vm* vm, Clock* clock, PodMetrics* metrics,
           const VmLimits& limits);

  // Brings the VM to at least `target`: what it has above that stays, because
  // giving back is slow and nobody waits for it. Errors: those of
  // VmResizer::Resize(); the VM is then as before.
  absl::Status Grow(const VmTarget& target, absl::Time deadline);

  // Brings the VM to exactly `target`. Unavailable, too, when the guest still
  // holds something back: call again later.
  absl::Status Settle(const VmTarget& target, absl::Time deadline);

  // Reads the size back from QEMU and the guest.
  absl::Status Observe(absl::Time deadline);

  const VmLimits& limits() const { return limits_; }
  VmSizes sizes() const;
  // Of the last resize; empty when it succeeded.
  std::string last_error() const;

 private:
  absl::Status Resize(const VmTarget& target, absl::Time deadline);
  void Publish(const VmState& state) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const PodId pod_;
  PodMetrics* const metrics_;
  const VmLimits limits_;
  VmResizer resizer_;
  mutable absl::Mutex mutex_;
  VmSizes sizes_ ABSL_GUARDED_BY(mutex_);
  std::string last_error_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_POD_SIZER_H_
