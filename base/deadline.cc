#include "base/deadline.h"

#include <algorithm>
#include <chrono>

namespace podvisor {

absl::Duration Deadline::SinceStart() {
  return absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
}

absl::Duration Deadline::Left() const {
  return std::max(end_ - SinceStart(), absl::ZeroDuration());
}

int Deadline::PollMillis(absl::Duration most) const {
  const absl::Duration left = std::min(Left(), most);
  if (left == absl::InfiniteDuration()) return -1;
  return static_cast<int>(std::min<int64_t>(
      absl::ToInt64Milliseconds(absl::Ceil(left, absl::Milliseconds(1))),
      1'000'000'000));
}

bool AwaitUntil(absl::Mutex* mutex, const absl::Condition& condition,
                Deadline deadline) {
  while (!mutex->AwaitWithTimeout(condition, deadline.Left())) {
    if (deadline.IsOver()) return false;
  }
  return true;
}

bool AwaitUntil(const absl::Notification& notification, Deadline deadline) {
  while (!notification.WaitForNotificationWithTimeout(deadline.Left())) {
    if (deadline.IsOver()) return false;
  }
  return true;
}

}  // namespace podvisor
