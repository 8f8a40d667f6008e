#include "cri/streaming/spdy_connection.h"

#include <utility>

#include "base/status_macros.h"

namespace podvisor {
namespace {

constexpr size_t kReadBytes = 32 << 10;
constexpr size_t kMaxPendingAnswers = 1 << 20;

}  // namespace

absl::StatusOr<std::vector<SpdyEvent>> SpdyConnection::Receive(
    absl::Time deadline) {
  for (;;) {
    std::string bytes = std::exchange(begin_, std::string());
    if (bytes.empty()) {
      bytes.resize(kReadBytes);
      ASSIGN_OR_RETURN(const size_t count,
                       bytes_->Read(bytes.data(), bytes.size(), deadline));
      bytes.resize(count);
    }
    std::vector<SpdyEvent> events;
    absl::MutexLock lock(&mutex_);
    RETURN_IF_ERROR(session_.Receive(bytes, &events));
    pending_ += session_.TakeOutput();
    // Whoever writes takes it along. So input goes on while the client does not
    // read, unless it floods us with what wants an answer.
    if (!writing_ || pending_.size() > kMaxPendingAnswers) {
      RETURN_IF_ERROR(Flush());
    }
    if (!events.empty()) return events;
  }
}

absl::Status SpdyConnection::Flush() {
  const auto my_turn = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !writing_;
  };
  mutex_.Await(absl::Condition(&my_turn));
  while (!pending_.empty()) {
    const std::string output = std::exchange(pending_, std::string());
    writing_ = true;
    mutex_.Unlock();
    const absl::Status written = bytes_->Write(output);
    mutex_.Lock();
    writing_ = false;
    RETURN_IF_ERROR(written);
  }
  return absl::OkStatus();
}

absl::Status SpdyConnection::Do(
    const std::function<void(SpdySession*)>& change) {
  absl::MutexLock lock(&mutex_);
  change(&session_);
  pending_ += session_.TakeOutput();
  return Flush();
}

absl::Status SpdyConnection::Accept(uint32_t stream) {
  return Do([&](SpdySession* session) { session->Accept(stream); });
}

absl::Status SpdyConnection::Send(uint32_t stream, absl::string_view data) {
  return Do([&](SpdySession* session) { session->Send(stream, data); });
}

absl::Status SpdyConnection::CloseWrite(uint32_t stream) {
  return Do([&](SpdySession* session) { session->CloseWrite(stream); });
}

absl::Status SpdyConnection::Reset(uint32_t stream) {
  return Do([&](SpdySession* session) { session->Reset(stream); });
}

absl::Status SpdyConnection::GoAway() {
  return Do([](SpdySession* session) { session->GoAway(); });
}

}  // namespace podvisor
