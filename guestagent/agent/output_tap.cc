#include "guestagent/agent/output_tap.h"

#include <utility>

namespace podvisor {
namespace {

// What a piece takes beside its bytes: many small ones are bounded too.
constexpr size_t kPieceCost = 64;

}  // namespace

void OutputTap::Append(int stream, absl::string_view data) {
  absl::MutexLock lock(&mutex_);
  if (!failure_.ok() || data.empty()) return;
  const bool joins = !pieces_.empty() && pieces_.back().stream == stream &&
                     pieces_.back().data.size() + data.size() <= kMaxPieceBytes;
  cost_ += data.size() + (joins ? 0 : kPieceCost);
  if (cost_ > kCapacity) {
    FailLocked(absl::ResourceExhaustedError(
        "the container's output was not read fast enough"));
    return;
  }
  if (!joins) pieces_.push_back({.stream = stream, .data = {}});
  pieces_.back().data.append(data.data(), data.size());
}

void OutputTap::EndStream(int stream) {
  absl::MutexLock lock(&mutex_);
  ended_[stream] = true;
}

void OutputTap::Fail(absl::Status why) {
  absl::MutexLock lock(&mutex_);
  if (failure_.ok()) FailLocked(std::move(why));
}

void OutputTap::FailLocked(absl::Status why) {
  failure_ = std::move(why);
  std::deque<Piece>().swap(pieces_);
}

absl::StatusOr<OutputTap::Piece> OutputTap::Next(Deadline deadline) {
  absl::MutexLock lock(&mutex_);
  const auto has_news = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !pieces_.empty() || !failure_.ok() || (ended_[0] && ended_[1]);
  };
  if (!AwaitUntil(&mutex_, absl::Condition(&has_news), deadline)) {
    return absl::DeadlineExceededError("no output");
  }
  if (!failure_.ok()) return failure_;
  if (pieces_.empty()) return absl::OutOfRangeError("the output has ended");
  Piece piece = std::move(pieces_.front());
  pieces_.pop_front();
  cost_ -= piece.data.size() + kPieceCost;
  return piece;
}

}  // namespace podvisor
