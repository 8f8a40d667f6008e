#include "base/timer_queue.h"

#include <algorithm>

namespace podvisor {

TimerQueue::TimerQueue(Clock& clock, int threads) : clock_(clock) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Work(); });
}

TimerQueue::~TimerQueue() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    entries_.clear();
    changed_.SignalAll();
  }
  for (std::thread& thread : threads_) thread.join();
}

void TimerQueue::Schedule(absl::Duration delay,
                          std::function<void()> function) {
  absl::MutexLock lock(&mutex_);
  if (stopping_) return;
  entries_.emplace(std::pair(clock_.Now() + delay, next_sequence_++),
                   std::move(function));
  changed_.Signal();
}

int TimerQueue::RunDue() {
  int count = 0;
  for (;;) {
    std::function<void()> function;
    {
      absl::MutexLock lock(&mutex_);
      const auto first = entries_.begin();
      if (first == entries_.end() || first->first.first > clock_.Now()) {
        return count;
      }
      function = std::move(first->second);
      entries_.erase(first);
    }
    function();
    ++count;
  }
}

void TimerQueue::Work() {
  for (;;) {
    std::function<void()> function;
    {
      absl::MutexLock lock(&mutex_);
      while (!stopping_ && (entries_.empty() ||
                            entries_.begin()->first.first > clock_.Now())) {
        if (entries_.empty()) {
          changed_.Wait(&mutex_);
        } else {
          // Not longer than a second, so that a step of the wall clock shifts
          // no function by more than that.
          changed_.WaitWithTimeout(
              &mutex_, std::min(absl::Seconds(1),
                                entries_.begin()->first.first - clock_.Now()));
        }
      }
      if (stopping_) return;
      function = std::move(entries_.begin()->second);
      entries_.erase(entries_.begin());
    }
    function();
  }
}

}  // namespace podvisor
