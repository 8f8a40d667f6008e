#include "sandbox/vm/boot_gate.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace podvisor {

BootGate::BootGate(int max_parallel)
    : max_parallel_(std::max(1, max_parallel)) {}

absl::StatusOr<BootGate::Pass> BootGate::Enter(absl::Time deadline) {
  absl::MutexLock lock(&mutex_);
  const uint64_t number = next_++;
  queue_.push_back(number);
  const auto my_turn = [this, number]() {
    mutex_.AssertReaderHeld();
    return booting_ < max_parallel_ && queue_.front() == number;
  };
  const bool entered =
      mutex_.AwaitWithDeadline(absl::Condition(&my_turn), deadline);
  queue_.remove(number);
  if (!entered) {
    return absl::DeadlineExceededError(absl::StrCat(
        "too many VMs are booting: ", queue_.size(), " others wait"));
  }
  ++booting_;
  return Pass(this);
}

int BootGate::waiting() const {
  absl::MutexLock lock(&mutex_);
  return static_cast<int>(queue_.size());
}

void BootGate::Leave() {
  absl::MutexLock lock(&mutex_);
  --booting_;
}

}  // namespace podvisor
