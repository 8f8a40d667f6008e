#include "base/timer_queue.h"

#include <algorithm>

namespace podvisor {
namespace {

// An absl::Mutex that is held, for the standard library.
struct HeldMutex {
  void lock() ABSL_NO_THREAD_SAFETY_ANALYSIS { mutex->Lock(); }
  void unlock() ABSL_NO_THREAD_SAFETY_ANALYSIS { mutex->Unlock(); }
  absl::Mutex* mutex;
};

}  // namespace

TimerQueue::TimerQueue(Clock& clock, int threads) : clock_(clock) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Work(); });
}

TimerQueue::~TimerQueue() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    entries_.clear();
    changed_.notify_all();
  }
  for (std::thread& thread : threads_) thread.join();
}

void TimerQueue::Schedule(absl::Duration delay,
                          std::function<void()> function) {
  absl::MutexLock lock(&mutex_);
  if (stopping_) return;
  entries_.emplace(std::pair(clock_.Elapsed() + delay, next_sequence_++),
                   std::move(function));
  changed_.notify_one();
}

int TimerQueue::RunDue() {
  int count = 0;
  for (;;) {
    std::function<void()> function;
    {
      absl::MutexLock lock(&mutex_);
      const auto first = entries_.begin();
      if (first == entries_.end() || first->first.first > clock_.Elapsed()) {
        return count;
      }
      function = std::move(first->second);
      entries_.erase(first);
    }
    function();
    ++count;
  }
}

void TimerQueue::Wait() {
  // Not longer, as the one that was woken for an earlier entry may be running
  // another by then.
  absl::Duration left = absl::Seconds(1);
  if (!entries_.empty()) {
    left = std::min(left, entries_.begin()->first.first - clock_.Elapsed());
  }
  HeldMutex held{&mutex_};
  changed_.wait_for(held, absl::ToChronoNanoseconds(left));
}

void TimerQueue::Work() {
  for (;;) {
    std::function<void()> function;
    {
      absl::MutexLock lock(&mutex_);
      while (!stopping_ && (entries_.empty() ||
                            entries_.begin()->first.first > clock_.Elapsed())) {
        Wait();
      }
      if (stopping_) return;
      function = std::move(entries_.begin()->second);
      entries_.erase(entries_.begin());
    }
    function();
  }
}

}  // namespace podvisor
