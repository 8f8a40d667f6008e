#include "sandbox/parts/pod_event_feed.h"

#include <utility>

namespace podvisor {

PodEventFeed::Subscription::Subscription(PodEventFeed* feed,
                                         std::function<void()> on_lost)
    : feed_(feed), on_lost_(std::move(on_lost)) {}

PodEventFeed::Subscription::~Subscription() {
  absl::MutexLock lock(&feed_->mutex_);
  feed_->listeners_.erase(this);
}

bool PodEventFeed::Subscription::HasNewsLocked() const {
  return !pending_.empty() || lost_ || feed_->closed_;
}

absl::StatusOr<std::shared_ptr<const PodEvent>>
PodEventFeed::Subscription::Next(absl::Time deadline) {
  absl::MutexLock lock(&feed_->mutex_);
  (void)feed_->mutex_.AwaitWithDeadline(
      absl::Condition(this, &Subscription::HasNewsLocked), deadline);
  if (!pending_.empty()) {
    std::shared_ptr<const PodEvent> next = std::move(pending_.front());
    pending_.pop_front();
    return next;
  }
  if (lost_) {
    return absl::ResourceExhaustedError(
        "events were lost, because they were not read: list anew");
  }
  if (feed_->closed_) return absl::UnavailableError("the daemon ends");
  return std::shared_ptr<const PodEvent>();
}

absl::StatusOr<std::unique_ptr<PodEventFeed::Subscription>>
PodEventFeed::Subscribe(std::function<void()> on_lost) {
  auto subscription = std::make_unique<Subscription>(this, std::move(on_lost));
  absl::MutexLock lock(&mutex_);
  if (listeners_.size() >= kMaxListeners) {
    return absl::ResourceExhaustedError("too many clients wait for events");
  }
  listeners_.insert(subscription.get());
  return subscription;
}

void PodEventFeed::Publish(std::vector<PodEvent> events) {
  absl::MutexLock lock(&mutex_);
  if (listeners_.empty()) return;
  for (PodEvent& event : events) {
    const auto shared = std::make_shared<const PodEvent>(std::move(event));
    for (Subscription* listener : listeners_) {
      if (listener->lost_) continue;
      if (listener->pending_.size() < kMaxPending) {
        listener->pending_.push_back(shared);
      } else {
        listener->lost_ = true;
        listener->on_lost_();
      }
    }
  }
}

void PodEventFeed::Close() {
  absl::MutexLock lock(&mutex_);
  closed_ = true;
}

}  // namespace podvisor
