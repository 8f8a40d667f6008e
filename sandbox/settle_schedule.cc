#include "sandbox/settle_schedule.h"

#include <algorithm>

namespace podvisor {

bool SettleSchedule::Ask(absl::Time at) {
  if (due_ <= at) return false;
  due_ = at;
  return true;
}

bool SettleSchedule::Take(absl::Time at) {
  if (due_ != at) return false;  // an earlier timer has had that run
  due_ = absl::InfiniteFuture();
  return true;
}

bool SettleSchedule::MayYield(absl::Time now, absl::Duration patience) {
  yielding_since_ = std::min(yielding_since_, now);
  return now - yielding_since_ < patience;
}

void SettleSchedule::Reached() {
  yielding_since_ = absl::InfiniteFuture();
  backoff_ = absl::ZeroDuration();
}

absl::Duration SettleSchedule::Missed(const VmSize& target) {
  yielding_since_ = absl::InfiniteFuture();
  if (target != missed_) backoff_ = absl::ZeroDuration();
  missed_ = target;
  backoff_ = std::clamp(2 * backoff_, kLeastBackoff, kMostBackoff);
  return backoff_;
}

}  // namespace podvisor
