#include "cri/streaming/input_queue.h"

namespace podvisor {

bool InputQueue::Push(Input input, absl::Duration at_most) {
  const size_t bytes = input.data.size() + kInputBytes;
  absl::MutexLock lock(&mutex_);
  // One input always fits into an empty queue.
  const auto room = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return gone_ || stopped_ || bytes_ == 0 || bytes_ + bytes <= kMaxBytes;
  };
  if (!mutex_.AwaitWithTimeout(absl::Condition(&room), at_most)) return false;
  if (gone_ || stopped_) return true;
  bytes_ += bytes;
  inputs_.push_back(std::move(input));
  return true;
}

void InputQueue::HangUp() {
  absl::MutexLock lock(&mutex_);
  gone_ = true;
  inputs_.clear();
  bytes_ = 0;
  if (on_gone_) std::exchange(on_gone_, nullptr)();
}

void InputQueue::OnGone(std::function<void()> on_gone) {
  absl::MutexLock lock(&mutex_);
  on_gone_ = std::move(on_gone);
  if (gone_ && on_gone_) std::exchange(on_gone_, nullptr)();
}

StreamPeer::Input InputQueue::NextInput() {
  absl::MutexLock lock(&mutex_);
  const auto ready = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return gone_ || stopped_ || !inputs_.empty();
  };
  mutex_.Await(absl::Condition(&ready));
  if (stopped_) return {.kind = Input::Kind::kStopped};
  if (gone_) return {.kind = Input::Kind::kGone};
  Input input = std::move(inputs_.front());
  inputs_.pop_front();
  bytes_ -= input.data.size() + kInputBytes;
  return input;
}

void InputQueue::StopInput() {
  absl::MutexLock lock(&mutex_);
  stopped_ = true;
  inputs_.clear();
  bytes_ = 0;
}

}  // namespace podvisor
