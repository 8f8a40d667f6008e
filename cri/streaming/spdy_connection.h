#ifndef PODVISOR_CRI_STREAMING_SPDY_CONNECTION_H_
#define PODVISOR_CRI_STREAMING_SPDY_CONNECTION_H_

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "cri/streaming/byte_stream.h"
#include "cri/streaming/spdy_session.h"

namespace podvisor {

// A SpdySession on a ByteStream. One thread receives; any thread sends, and
// waits while the client does not read: what waits to be written is bounded by
// one message for each thread that sends, and 1 MiB of answers. Thread-safe
// otherwise.
class SpdyConnection {
 public:
  // `begin` is what was read together with the HTTP request. Borrows `bytes`.
  SpdyConnection(ByteStream* bytes, std::string begin)
      : bytes_(bytes), begin_(std::move(begin)) {}

  // Blocks until the client does something; errors of ByteStream::Read(), and
  // DataLoss when it broke the protocol.
  absl::StatusOr<std::vector<SpdyEvent>> Receive(absl::Time deadline);

  absl::Status Accept(uint32_t stream);
  absl::Status Send(uint32_t stream, absl::string_view data);
  absl::Status CloseWrite(uint32_t stream);
  absl::Status Reset(uint32_t stream);
  absl::Status GoAway();

 private:
  absl::Status Do(const std::function<void(SpdySession*)>& change)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Writes `pending_`. One thread writes at a time; the others wait for it, so
  // that a slow client slows them down.
  absl::Status Flush() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  ByteStream* const bytes_;
  std::string begin_;
  absl::Mutex mutex_;
  SpdySession session_ ABSL_GUARDED_BY(mutex_);
  std::string pending_ ABSL_GUARDED_BY(mutex_);  // to be written next
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace podvisor

#endif  // PODVISOR_CRI_STREAMING_SPDY_CONNECTION_H_
