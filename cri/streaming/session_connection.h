#ifndef PODVISOR_CRI_STREAMING_SESSION_CONNECTION_H_
#define PODVISOR_CRI_STREAMING_SESSION_CONNECTION_H_

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/status_macros.h"
#include "cri/streaming/byte_channel.h"

namespace podvisor {

// A session, the value that a protocol is (SpdySession, WebSocketSession), on a
// ByteChannel. One thread receives; any thread changes the session, and waits
// while the client does not read: what waits to be written is bounded by one
// change for each thread, and 1 MiB of answers. Thread-safe otherwise.
template <typename Session>
class SessionConnection {
 public:
  using Event = typename Session::Event;

  // `begin` is what was read before, together with the HTTP request. Borrows
  // `bytes`.
  SessionConnection(ByteChannel* bytes, std::string begin)
      : bytes_(bytes), begin_(std::move(begin)) {}

  // Blocks until the client does something; errors of ByteChannel::Read(), and
  // DataLoss when it broke the protocol.
  absl::StatusOr<std::vector<Event>> Receive(absl::Time deadline)
      ABSL_LOCKS_EXCLUDED(mutex_) {
    for (;;) {
      std::string bytes = std::exchange(begin_, std::string());
      if (bytes.empty()) {
        bytes.resize(kReadBytes);
        ASSIGN_OR_RETURN(const size_t count,
                         bytes_->Read(bytes.data(), bytes.size(), deadline));
        bytes.resize(count);
      }
      std::vector<Event> events;
      absl::MutexLock lock(&mutex_);
      const absl::Status received = session_.Receive(bytes, &events);
      pending_ += session_.TakeOutput();
      // Whoever writes takes it along. So input goes on while the client does
      // not read, unless it floods us with what wants an answer.
      if (!writing_ || pending_.size() > kMaxPendingAnswers) {
        const absl::Status flushed = Flush();
        // The first fault is the one to tell.
        if (received.ok()) RETURN_IF_ERROR(flushed);
      }
      RETURN_IF_ERROR(received);
      if (!events.empty()) return events;
    }
  }

  // Makes a change and writes what it says.
  absl::Status Do(absl::FunctionRef<void(Session*)> change)
      ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    change(&session_);
    pending_ += session_.TakeOutput();
    return Flush();
  }

  // As Do(), but leaves the writing to whoever writes already.
  absl::Status DoWithoutTurn(absl::FunctionRef<void(Session*)> change)
      ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    change(&session_);
    pending_ += session_.TakeOutput();
    return writing_ ? absl::OkStatus() : Flush();
  }

 private:
  static constexpr size_t kReadBytes = 32 << 10;
  static constexpr size_t kMaxPendingAnswers = 1 << 20;

  // Writes `pending_`. One thread writes at a time; the others wait for it, so
  // that a slow client slows them down.
  absl::Status Flush() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
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

  ByteChannel* const bytes_;
  std::string begin_;
  absl::Mutex mutex_;
  Session session_ ABSL_GUARDED_BY(mutex_);
  std::string pending_ ABSL_GUARDED_BY(mutex_);  // to be written next
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace podvisor

#endif  // PODVISOR_CRI_STREAMING_SESSION_CONNECTION_H_
