#ifndef PODVISOR_BASE_CLOCK_H_
#define PODVISOR_BASE_CLOCK_H_

#include <chrono>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace podvisor {

// Time, injected so that tests can hold it still. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  // The wall clock, for what is recorded or shown. It may be stepped, also
  // back, and so measures no time.
  virtual absl::Time Now() = 0;
  // Since some moment, without the time that the host was asleep; never falls.
  // For delays and ages.
  virtual absl::Duration Elapsed() = 0;
};

class SystemClock final : public Clock {
 public:
  absl::Time Now() override { return absl::Now(); }
  absl::Duration Elapsed() override {
    return absl::FromChrono(
        std::chrono::steady_clock::now().time_since_epoch());
  }
};

// Stands still until a test moves it.
class FakeClock final : public Clock {
 public:
  explicit FakeClock(absl::Time now = absl::FromUnixSeconds(1'700'000'000))
      : now_(now) {}

  absl::Time Now() override {
    absl::MutexLock lock(&mutex_);
    return now_;
  }

  absl::Duration Elapsed() override {
    absl::MutexLock lock(&mutex_);
    return elapsed_;
  }

  void Advance(absl::Duration time) {
    absl::MutexLock lock(&mutex_);
    now_ += time;
    elapsed_ += time;
  }
  // Only the wall clock, as whoever sets it does.
  void Step(absl::Duration step) {
    absl::MutexLock lock(&mutex_);
    now_ += step;
  }

 private:
  absl::Mutex mutex_;
  absl::Time now_ ABSL_GUARDED_BY(mutex_);
  absl::Duration elapsed_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace podvisor

#endif  // PODVISOR_BASE_CLOCK_H_
