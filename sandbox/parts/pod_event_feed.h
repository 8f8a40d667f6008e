#ifndef PODVISOR_SANDBOX_PARTS_POD_EVENT_FEED_H_
#define PODVISOR_SANDBOX_PARTS_POD_EVENT_FEED_H_

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "sandbox/parts/pod_event.h"

namespace podvisor {

// Brings the events of all pods to whoever listens. Never waits for a listener:
// one that is too slow is cut off, and has to look at everything anew.
//
// Thread-safe. Its lock is a leaf: events are published under a pod's locks.
class PodEventFeed {
 public:
  // Of one listener, which may be behind by this much.
  static constexpr size_t kMaxPending = 1000;
  static constexpr size_t kMaxListeners = 16;

  // Listens from its making on. To be destroyed before the feed.
  class Subscription {
   public:
    // Borrows the feed; use Subscribe().
    Subscription(PodEventFeed* feed, std::function<void()> on_lost);
    ~Subscription();
    Subscription(const Subscription&) = delete;
    Subscription& operator=(const Subscription&) = delete;

    // The next event; nothing when there was none until the deadline. Errors:
    // ResourceExhausted after events were lost, Unavailable after Close().
    absl::StatusOr<std::shared_ptr<const PodEvent>> Next(absl::Time deadline);

   private:
    friend class PodEventFeed;
    bool HasNewsLocked() const ABSL_SHARED_LOCKS_REQUIRED(feed_->mutex_);

    PodEventFeed* const feed_;
    const std::function<void()> on_lost_;
    std::deque<std::shared_ptr<const PodEvent>> pending_
        ABSL_GUARDED_BY(feed_->mutex_);
    bool lost_ ABSL_GUARDED_BY(feed_->mutex_) = false;
  };

  // ResourceExhausted when there are too many already. `on_lost` is called
  // once, when events are lost to this listener, which may not come to Next()
  // again by itself: on the thread that publishes, so it must not wait or come
  // back.
  absl::StatusOr<std::unique_ptr<Subscription>> Subscribe(
      std::function<void()> on_lost) ABSL_LOCKS_EXCLUDED(mutex_);

  void Publish(std::vector<PodEvent> events) ABSL_LOCKS_EXCLUDED(mutex_);

  // No more events, and nobody waits for one any more: the daemon ends.
  void Close() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  absl::Mutex mutex_;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  std::set<Subscription*> listeners_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_PARTS_POD_EVENT_FEED_H_
