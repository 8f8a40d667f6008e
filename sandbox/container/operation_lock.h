#ifndef PODVISOR_SANDBOX_CONTAINER_OPERATION_LOCK_H_
#define PODVISOR_SANDBOX_CONTAINER_OPERATION_LOCK_H_

#include <functional>
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
// Besides the callers there may be one, the pod's loop, that cannot wait and
// comes again instead. However many callers stand in a queue, it gets the turn
// that it has asked for.
//
// Thread-safe.
class ABSL_LOCKABLE OperationLock {
 public:
  // `owner` is for people: "pod 4f3a". A turn that is not taken is kept for
  // `patience`, by the real clock.
  explicit OperationLock(std::string owner,
                         absl::Duration patience = absl::Seconds(2));

  OperationLock(const OperationLock&) = delete;
  OperationLock& operator=(const OperationLock&) = delete;

  // False when it is not free by `deadline`. A deadline that is over tries
  // once and does not wait.
  bool LockUntil(absl::Time deadline) ABSL_EXCLUSIVE_TRYLOCK_FUNCTION(true);
  void Unlock() ABSL_UNLOCK_FUNCTION();

  // For the one that cannot wait. Takes the lock if nobody has it, also before
  // those who wait, and with it the turn that was asked for.
  bool TryLockInTurn() ABSL_EXCLUSIVE_TRYLOCK_FUNCTION(true);
  // As soon as nobody has the lock (now, perhaps) it is kept for
  // TryLockInTurn(), and `come` is called, by the thread that gives it back: it
  // must not block. Asking again before that replaces `come`.
  void AskForTurn(std::function<void()> come) ABSL_LOCKS_EXCLUDED(mutex_);

  // What the caller who did not get it answers: DeadlineExceeded.
  absl::Status Busy() const;

 private:
  // Keeps the turn, if one was asked for, and returns whom to call.
  std::function<void()> KeepTurn() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string owner_;
  const absl::Duration patience_;
  absl::Mutex mutex_;  // held for moments only
  bool free_ ABSL_GUARDED_BY(mutex_) = true;
  std::function<void()> come_ ABSL_GUARDED_BY(mutex_);
  bool turn_is_kept_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Time kept_until_ ABSL_GUARDED_BY(mutex_);
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

#endif  // PODVISOR_SANDBOX_CONTAINER_OPERATION_LOCK_H_
