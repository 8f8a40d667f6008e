#include "sandbox/parts/pod_news.h"

namespace podvisor {

void PodNews::Tell(bool removed) {
  absl::MutexLock lock(&mutex_);
  feed_->Publish(
      told_.Advance(look_(), containers_->Snapshots(), removed, clock_->Now()));
}

void PodNews::Begin() {
  absl::MutexLock lock(&mutex_);
  told_.Adopt(look_(), containers_->Snapshots());
}

}  // namespace podvisor
