#include "guestagent/agent/container_exits.h"

#include <vector>

#include "absl/time/time.h"
#include "base/deadline.h"

namespace podvisor {
namespace {

// How often a watcher is asked whether it is still there.
constexpr absl::Duration kCancelInterval = absl::Milliseconds(400);

}  // namespace

void ContainerExits::Publish(const agent::v1::ContainerExit& exit) {
  absl::MutexLock lock(&mutex_);
  exits_[++last_sequence_] = exit;
}

void ContainerExits::Forget(const std::string& container_id) {
  absl::MutexLock lock(&mutex_);
  for (auto exit = exits_.begin(); exit != exits_.end();) {
    exit = exit->second.container_id() == container_id ? exits_.erase(exit)
                                                       : std::next(exit);
  }
}

absl::Status ContainerExits::Watch(
    const std::function<bool(const agent::v1::ContainerExit&)>& write,
    const std::function<bool()>& is_cancelled) {
  uint64_t seen = 0;
  while (!is_cancelled()) {
    std::vector<agent::v1::ContainerExit> news;
    {
      absl::MutexLock lock(&mutex_);
      const auto has_news = [this, &seen]()
                                ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
                                  return closed_ || last_sequence_ > seen;
                                };
      AwaitUntil(&mutex_, absl::Condition(&has_news),
                 Deadline::After(kCancelInterval));
      if (closed_) break;
      for (auto exit = exits_.upper_bound(seen); exit != exits_.end(); ++exit) {
        news.push_back(exit->second);
      }
      seen = last_sequence_;
    }
    for (const agent::v1::ContainerExit& exit : news) {
      if (!write(exit)) return absl::OkStatus();
    }
  }
  return absl::CancelledError("the watch has ended");
}

void ContainerExits::Close() {
  absl::MutexLock lock(&mutex_);
  closed_ = true;
}

}  // namespace podvisor
