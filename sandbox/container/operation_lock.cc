#include "sandbox/container/operation_lock.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"

namespace podvisor {
namespace {

// The clock by which absl::Mutex waits.
absl::Time Now() { return SystemClock().Now(); }

}  // namespace

OperationLock::OperationLock(std::string owner, absl::Duration patience)
    : owner_(std::move(owner)), patience_(patience) {}

bool OperationLock::LockUntil(absl::Time deadline) {
  absl::MutexLock lock(&mutex_);
  const absl::Condition given_back(&free_);
  const absl::Condition turn_is_over(
      +[](bool* kept) { return !*kept; }, &turn_is_kept_);
  while (!free_ || turn_is_kept_) {
    const bool changed =
        turn_is_kept_ ? mutex_.AwaitWithDeadline(
                            turn_is_over, std::min(deadline, kept_until_))
                      : mutex_.AwaitWithDeadline(given_back, deadline);
    if (changed) continue;
    const absl::Time now = Now();
    if (turn_is_kept_ && now >= kept_until_) {
      turn_is_kept_ = false;  // nobody came for it
    } else if (now >= deadline) {
      return false;
    }
  }
  free_ = false;
  return true;
}

void OperationLock::Unlock() {
  std::function<void()> come;
  {
    absl::MutexLock lock(&mutex_);
    free_ = true;
    come = KeepTurn();
  }
  if (come) come();
}

bool OperationLock::TryLockInTurn() {
  absl::MutexLock lock(&mutex_);
  if (!free_) return false;
  free_ = false;
  turn_is_kept_ = false;
  come_ = nullptr;
  return true;
}

void OperationLock::AskForTurn(std::function<void()> come) {
  std::function<void()> at_once;
  {
    absl::MutexLock lock(&mutex_);
    come_ = std::move(come);
    if (free_) at_once = KeepTurn();
  }
  if (at_once) at_once();
}

std::function<void()> OperationLock::KeepTurn() {
  if (!come_) return nullptr;
  turn_is_kept_ = true;
  kept_until_ = Now() + patience_;
  return std::exchange(come_, nullptr);
}

absl::Status OperationLock::Busy() const {
  return absl::DeadlineExceededError(
      absl::StrCat(owner_, " is busy with another operation"));
}

}  // namespace podvisor
