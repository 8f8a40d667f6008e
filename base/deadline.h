#ifndef PODVISOR_BASE_DEADLINE_H_
#define PODVISOR_BASE_DEADLINE_H_

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"

namespace podvisor {

// A moment up to which something is waited for, on CLOCK_MONOTONIC: a wall
// clock that is stepped meanwhile, as a guest's is by its host, makes no time
// longer or shorter. For waits for what is real, such as processes and devices;
// decisions take a Clock. A value.
class Deadline {
 public:
  // `time` from now; now, if that is negative.
  static Deadline After(absl::Duration time) {
    return Deadline(SinceStart() + time);
  }
  static Deadline Now() { return After(absl::ZeroDuration()); }
  static Deadline Never() { return Deadline(absl::InfiniteDuration()); }

  friend bool operator<(Deadline a, Deadline b) { return a.end_ < b.end_; }

  // Not negative.
  absl::Duration Left() const;
  bool IsOver() const { return Left() == absl::ZeroDuration(); }
  // What is left, at most `most`, for poll(2): rounded up, so that it is over
  // when poll() has waited for it; -1 for ever.
  int PollMillis(absl::Duration most = absl::InfiniteDuration()) const;

 private:
  explicit Deadline(absl::Duration end) : end_(end) {}

  // What CLOCK_MONOTONIC shows.
  static absl::Duration SinceStart();

  absl::Duration end_;
};

// Whether `condition` became true, or `notification` came, before the deadline.
// Abseil waits by the wall clock: these wait again when it woke them too early.
// A clock that is set back makes them late by as much, once.
bool AwaitUntil(absl::Mutex* mutex, const absl::Condition& condition,
                Deadline deadline) ABSL_SHARED_LOCKS_REQUIRED(mutex);
bool AwaitUntil(const absl::Notification& notification, Deadline deadline);

}  // namespace podvisor

#endif  // PODVISOR_BASE_DEADLINE_H_
