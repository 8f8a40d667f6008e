#ifndef PODVISOR_SANDBOX_PARTS_SETTLE_TIMER_H_
#define PODVISOR_SANDBOX_PARTS_SETTLE_TIMER_H_

#include <functional>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "hotplug/vm_size.h"
#include "sandbox/parts/owned_timers.h"
#include "sandbox/size/settle_schedule.h"

namespace podvisor {

// Has a pod's VM brought to the size that its containers want, when that is
// due. For all who change what they want; the loop that does it asks too.
//
// Thread-safe. Its lock is held for moments, and no other is taken under it.
class SettleTimer {
 public:
  // Borrows both. `run` is called on a thread of the timers.
  SettleTimer(Clock* clock, const OwnedTimers* timers,
              std::function<void()> run);

  // Asks for a run after `delay` at the latest.
  void After(absl::Duration delay) ABSL_LOCKS_EXCLUDED(mutex_);

  // For the loop; see SettleSchedule.
  bool MayYield(absl::Duration patience) ABSL_LOCKS_EXCLUDED(mutex_);
  void Reached() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Duration Missed(const VmSize& target, const VmSize& has)
      ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  Clock* const clock_;
  const OwnedTimers* const timers_;
  const std::function<void()> run_;
  absl::Mutex mutex_;
  SettleSchedule schedule_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_PARTS_SETTLE_TIMER_H_
