#ifndef PODVISOR_SANDBOX_SIZE_SETTLE_SCHEDULE_H_
#define PODVISOR_SANDBOX_SIZE_SETTLE_SCHEDULE_H_

#include "absl/time/time.h"
#include "hotplug/vm_size.h"

namespace podvisor {

// When a pod's VM is next to be brought to the size that its containers want:
// a value, which is told the time, by Clock::Elapsed().
//
// The earliest run that anybody has asked for is the one that comes, so that
// nothing that happens often can postpone what is due.
class SettleSchedule {
 public:
  static constexpr absl::Duration kLeastBackoff = absl::Milliseconds(200);
  static constexpr absl::Duration kMostBackoff = absl::Seconds(30);

  // Asks for a run at `at`. True where none was to come that early: the caller
  // sets a timer.
  bool Ask(absl::Duration at);

  // The timer that was set for `at` has fired, whatever the clock shows by now.
  // True where the run is still to come: it is the caller's.
  bool Take(absl::Duration at);

  // Whether a run may make room for somebody who waits to grow the VM: not for
  // longer than `patience`, or many who come one after the other would keep
  // the host from ever getting anything back.
  bool MayYield(absl::Duration now, absl::Duration patience);

  // The run has reached its target; or it has not, the VM `has` so much, and
  // this is how long to wait for the next: twice as long each time, and from
  // the start for another target, or when the VM has come nearer than ever.
  void Reached();
  absl::Duration Missed(const VmSize& target, const VmSize& has);

 private:
  absl::Duration due_ = absl::InfiniteDuration();
  absl::Duration yielding_since_ = absl::InfiniteDuration();
  absl::Duration backoff_ = absl::ZeroDuration();
  VmSize missed_;
  VmSize least_missing_;
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_SIZE_SETTLE_SCHEDULE_H_
