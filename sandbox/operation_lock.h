#ifndef PODVISOR_SANDBOX_OPERATION_LOCK_H_
#define PODVISOR_SANDBOX_OPERATION_LOCK_H_

#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace podvisor {

// One operation at a time on a pod or a container, for callers that have a
// deadline: whoever holds it may be waiting for a guest.
//
//   if (!lock.LockUntil(deadline)) return lock.Busy();
//   const OperationHolder operation(&lock);
//
// Thread-safe.
class ABSL_LOCKABLE OperationLock {
 public:
  // `owner` is for people: "pod 4f3a".
  explicit OperationLock(std::string owner);

  OperationLock(const OperationLock&) = delete;
  OperationLock& operator=(const OperationLock&) = delete;

  // False when it is not free by `deadline`. A deadline that is over tries
  // once and does not wait.
  bool LockUntil(absl::Time deadline) ABSL_EXCLUSIVE_TRYLOCK_FUNCTION(true);
  void Unlock() ABSL_UNLOCK_FUNCTION();

  // What the caller who did not get it answers: DeadlineExceeded.
  absl::Status Busy() const;

 private:
  const std::string owner_;
  absl::Mutex mutex_;  // held for moments only
  bool free_ ABSL_GUARDED_BY(mutex_) = true;
};

// Gives a lock that was acquired back at the end of the scope.
class ABSL_SCOPED_LOCKABLE OperationHolder {
 public:
  explicit OperationHolder(OperationLock* lock)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock)
      : lock_(lock) {}
  ~OperationHolder() ABSL_UNLOCK_FUNCTION() { lock_->Unlock(); }

  OperationHolder(const OperationHolder&) = delete;
  OperationHolder& operator=(const OperationHolder&) = delete;

 private:
  OperationLock* const lock_;
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_OPERATION_LOCK_H_
