#ifndef PODVISOR_SANDBOX_SIZE_POD_SIZER_H_
#define PODVISOR_SANDBOX_SIZE_POD_SIZER_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/ids.h"
#include "guestagent/client/guest_resources.h"
#include "hotplug/pod_demand.h"
#include "hotplug/qmp_client.h"
#include "hotplug/vm_limits.h"
#include "hotplug/vm_resizer.h"
#include "metrics/pod_metrics.h"
#include "sandbox/record/pod_snapshot.h"
#include "sandbox/size/resize_metrics.h"

namespace podvisor {

// Keeps one VM at the size that its pod wants, and knows what it really has.
//
// Grow() and Settle() are for one thread at a time (the pod's operation lock).
// Observe() may run beside them, so that a resize that takes long, or fails,
// is seen while it does; the rest never waits for the VM.
class PodSizer {
 public:
  // Borrows all but `limits`; what it borrows outlives it.
  PodSizer(const PodId& pod, QmpClient* qmp, GuestResources* guest,
           Clock* clock, PodMetrics* metrics, const VmLimits& limits);

  // Brings the VM to at least `target`, or where that cannot be had in half of
  // the time, to at least `least`: what it has above that stays, because giving
  // back is slow and nobody waits for it. Errors: those of VmResizer::Grow();
  // the VM is then as before.
  absl::Status Grow(const VmTarget& target, const VmTarget& least,
                    absl::Time deadline);

  // Brings the VM nearer to exactly `target`, but takes nothing away below
  // `held` (at least the target) that it has, and adds nothing unless it
  // `may_grow`. Goes on where the last call ended. Unavailable, too, when the
  // guest has not yet taken all or given all back: call again later.
  absl::Status Settle(const VmTarget& target, const VmSize& held, bool may_grow,
                      absl::Time deadline);

  // Whether the VM is at least as large. Looks for itself, also while a resize
  // is under way.
  absl::StatusOr<bool> Has(const VmSize& size, absl::Time deadline);

  // Reads the size back from QEMU and the guest.
  absl::Status Observe(absl::Time deadline);

  const VmLimits& limits() const { return limits_; }
  // As last observed, also after a resize that failed. What cannot be observed
  // stays as it was, with the time at which it was so.
  VmState observed() const;
  // The same for people. The target is the pod's to tell, so it is 0 here.
  VmSizes sizes() const;
  // Of the last Grow(), until one works; else of the last Settle(), also for
  // what the guest has not taken yet.
  std::string last_error() const;

 private:
  absl::StatusOr<VmState> Look(absl::Time deadline);
  // Looks what the VM has before the attempt. False when it cannot be seen: the
  // attempt has failed.
  bool Begin(ResizeAttempt& attempt, absl::Time deadline);
  void SetAsked(const VmSize& size);
  void SeeWhatCameOfIt(const ResizeAttempt& attempt);
  void Publish(uint64_t observation, const VmState& state)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const PodId pod_;
  Clock* const clock_;
  PodMetrics* const metrics_;
  const VmLimits limits_;
  VmResizer resizer_;

  mutable absl::Mutex mutex_;
  VmState state_ ABSL_GUARDED_BY(mutex_);
  absl::Time observed_at_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  // Observations are numbered by their begin: a late one never replaces one
  // that began after it.
  uint64_t observations_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t published_ ABSL_GUARDED_BY(mutex_) = 0;
  // What was last asked of the VM; none before this daemon asked.
  std::optional<VmSize> asked_ ABSL_GUARDED_BY(mutex_);
  std::string grow_error_ ABSL_GUARDED_BY(mutex_);
  std::string settle_error_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_SIZE_POD_SIZER_H_
