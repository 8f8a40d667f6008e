#include "sandbox/size/settle_schedule.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>

namespace podvisor {

bool SettleSchedule::Ask(absl::Duration at) {
  if (due_ <= at) return false;
  due_ = at;
  return true;
}

bool SettleSchedule::Take(absl::Duration at) {
  if (due_ != at) return false;  // an earlier timer has had that run
  due_ = absl::InfiniteDuration();
  return true;
}

bool SettleSchedule::MayYield(absl::Duration now, absl::Duration patience) {
  yielding_since_ = std::min(yielding_since_, now);
  return now - yielding_since_ < patience;
}

void SettleSchedule::Reached() {
  yielding_since_ = absl::InfiniteDuration();
  backoff_ = absl::ZeroDuration();
}

absl::Duration SettleSchedule::Missed(const VmSize& target, const VmSize& has) {
  yielding_since_ = absl::InfiniteDuration();
  const VmSize missing = {std::abs(target.vcpus - has.vcpus),
                          std::abs(target.memory_bytes - has.memory_bytes)};
  if (target != missed_ || backoff_ == absl::ZeroDuration()) {
    missed_ = target;
    least_missing_ = missing;
    backoff_ = absl::ZeroDuration();
  } else if (missing.vcpus < least_missing_.vcpus ||
             missing.memory_bytes < least_missing_.memory_bytes) {
    // Nearer than ever, so that a guest that comes and goes is not followed all
    // the time.
    least_missing_ = {
        std::min(missing.vcpus, least_missing_.vcpus),
        std::min(missing.memory_bytes, least_missing_.memory_bytes)};
    backoff_ = absl::ZeroDuration();
  }
  backoff_ = std::clamp(2 * backoff_, kLeastBackoff, kMostBackoff);
  return backoff_;
}

}  // namespace podvisor
