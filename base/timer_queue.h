#ifndef PODVISOR_BASE_TIMER_QUEUE_H_
#define PODVISOR_BASE_TIMER_QUEUE_H_

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/clock.h"

namespace podvisor {

// Runs functions later, on a few threads that all pods share: the number of
// threads does not grow with the number of pods. Functions may block, but only
// with a deadline; `threads` of them run at once.
//
// A function that must not run twice at a time, or no longer at all, checks
// that itself when it runs: there is no cancelling, so that nobody has to wait
// for a function that has already begun.
//
// A step of the wall clock delays or hurries nothing.
//
// Thread-safe. The destructor drops what is not yet due and waits for what
// runs.
class TimerQueue {
 public:
  // With `threads` = 0 nothing runs by itself: tests call RunDue().
  TimerQueue(Clock& clock, int threads);
  ~TimerQueue();

  TimerQueue(const TimerQueue&) = delete;
  TimerQueue& operator=(const TimerQueue&) = delete;

  void Schedule(absl::Duration delay, std::function<void()> function);

  // Runs on the caller's thread what is due by the clock, in the order of the
  // due times, and returns how many that were.
  int RunDue();

 private:
  void Work();
  // Until the first entry may be due, or something has changed.
  void Wait() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Clock& clock_;
  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t next_sequence_ ABSL_GUARDED_BY(mutex_) = 0;
  // By due time, of Clock::Elapsed(), then in the order of the Schedule calls.
  std::map<std::pair<absl::Duration, uint64_t>, std::function<void()>> entries_
      ABSL_GUARDED_BY(mutex_);
  // Not absl::CondVar, which waits by the wall clock: when that is set back,
  // whoever waits already does so for as much longer.
  std::condition_variable_any changed_;
  std::vector<std::thread> threads_;
};

}  // namespace podvisor

#endif  // PODVISOR_BASE_TIMER_QUEUE_H_
