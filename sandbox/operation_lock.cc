#include "sandbox/operation_lock.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace podvisor {

OperationLock::OperationLock(std::string owner) : owner_(std::move(owner)) {}

bool OperationLock::LockUntil(absl::Time deadline) {
  absl::MutexLock lock(&mutex_);
  if (!mutex_.AwaitWithDeadline(absl::Condition(&free_), deadline)) {
    return false;
  }
  free_ = false;
  return true;
}

void OperationLock::Unlock() {
  absl::MutexLock lock(&mutex_);
  free_ = true;
}

absl::Status OperationLock::Busy() const {
  return absl::DeadlineExceededError(
      absl::StrCat(owner_, " is busy with another operation"));
}

}  // namespace podvisor
