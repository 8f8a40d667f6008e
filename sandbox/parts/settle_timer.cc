#include "sandbox/parts/settle_timer.h"

#include <utility>

namespace podvisor {

SettleTimer::SettleTimer(Clock* clock, const OwnedTimers* timers,
                         std::function<void()> run)
    : clock_(clock), timers_(timers), run_(std::move(run)) {}

void SettleTimer::After(absl::Duration delay) {
  const absl::Duration at = clock_->Elapsed() + delay;
  {
    absl::MutexLock lock(&mutex_);
    if (!schedule_.Ask(at)) return;
  }
  timers_->After(delay, [this, at] {
    {
      absl::MutexLock lock(&mutex_);
      if (!schedule_.Take(at)) return;
    }
    run_();
  });
}

bool SettleTimer::MayYield(absl::Duration patience) {
  absl::MutexLock lock(&mutex_);
  return schedule_.MayYield(clock_->Elapsed(), patience);
}

void SettleTimer::Reached() {
  absl::MutexLock lock(&mutex_);
  schedule_.Reached();
}

absl::Duration SettleTimer::Missed(const VmSize& target, const VmSize& has) {
  absl::MutexLock lock(&mutex_);
  return schedule_.Missed(target, has);
}

}  // namespace podvisor
