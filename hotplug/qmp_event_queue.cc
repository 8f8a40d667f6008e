#include "hotplug/qmp_event_queue.h"

#include <algorithm>
#include <utility>

namespace podvisor {

QmpEventQueue::QmpEventQueue(std::vector<std::string> names)
    : names_(std::move(names)) {}

void QmpEventQueue::Put(const QmpEvent& event) {
  if (std::find(names_.begin(), names_.end(), event.name) == names_.end()) {
    return;
  }
  absl::MutexLock lock(&mutex_);
  if (!closed_.ok()) return;
  if (events_.size() == kMaxEvents) events_.pop_front();
  events_.push_back(event);
}

void QmpEventQueue::Close(const absl::Status& reason) {
  absl::MutexLock lock(&mutex_);
  if (closed_.ok()) closed_ = reason;
}

absl::StatusOr<QmpEvent> QmpEventQueue::Take(absl::Time deadline) {
  absl::MutexLock lock(&mutex_);
  const auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !events_.empty() || !closed_.ok();
  };
  if (!mutex_.AwaitWithDeadline(absl::Condition(&ready), deadline)) {
    return absl::DeadlineExceededError("no such QMP event in time");
  }
  if (events_.empty()) return closed_;
  QmpEvent event = std::move(events_.front());
  events_.pop_front();
  return event;
}

}  // namespace podvisor
