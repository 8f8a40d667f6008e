#ifndef PODVISOR_SANDBOX_PARTS_OWNED_TIMERS_H_
#define PODVISOR_SANDBOX_PARTS_OWNED_TIMERS_H_

#include <functional>
#include <memory>
#include <utility>

#include "absl/time/time.h"
#include "base/timer_queue.h"

namespace podvisor {

// The timers of an object that is held by shared_ptr and may go before they
// fire: none of them runs then, and while one runs the object stays. For its
// parts, which have no weak_ptr of their own.
//
// Thread-safe.
class OwnedTimers {
 public:
  using Owner = std::function<std::weak_ptr<void>()>;

  // Borrows `queue`. `owner` is asked each time: an object has no weak_ptr of
  // itself yet while its parts are made.
  OwnedTimers(TimerQueue* queue, Owner owner)
      : queue_(queue), owner_(std::move(owner)) {}

  void After(absl::Duration delay, std::function<void()> function) const {
    queue_->Schedule(delay, WhileOwned(std::move(function)));
  }
  // The same for whoever else calls back later.
  std::function<void()> WhileOwned(std::function<void()> function) const {
    return [owner = owner_(), function = std::move(function)] {
      if (const std::shared_ptr<void> alive = owner.lock()) function();
    };
  }

 private:
  TimerQueue* const queue_;
  const Owner owner_;
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_PARTS_OWNED_TIMERS_H_
