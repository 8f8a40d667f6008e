#ifndef PODVISOR_CRI_STREAMING_SPDY_CONNECTION_H_
#define PODVISOR_CRI_STREAMING_SPDY_CONNECTION_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cri/streaming/byte_channel.h"
#include "cri/streaming/session_connection.h"
#include "cri/streaming/spdy_session.h"

namespace podvisor {

// A SpdySession on a ByteChannel; threads, bounds and errors are those of
// SessionConnection.
class SpdyConnection {
 public:
  // `begin` is what was read before. Borrows `bytes`.
  SpdyConnection(ByteChannel* bytes, std::string begin)
      : connection_(bytes, std::move(begin)) {}

  absl::StatusOr<std::vector<SpdyEvent>> Receive(absl::Time deadline) {
    return connection_.Receive(deadline);
  }

  absl::Status Accept(uint32_t stream) {
    return connection_.Do([&](SpdySession* spdy) { spdy->Accept(stream); });
  }
  absl::Status Send(uint32_t stream, absl::string_view data) {
    return connection_.Do([&](SpdySession* spdy) { spdy->Send(stream, data); });
  }
  absl::Status CloseWrite(uint32_t stream) {
    return connection_.Do([&](SpdySession* spdy) { spdy->CloseWrite(stream); });
  }
  absl::Status Reset(uint32_t stream) {
    return connection_.Do([&](SpdySession* spdy) { spdy->Reset(stream); });
  }
  absl::Status GoAway() {
    return connection_.Do([](SpdySession* spdy) { spdy->GoAway(); });
  }

 private:
  SessionConnection<SpdySession> connection_;
};

}  // namespace podvisor

#endif  // PODVISOR_CRI_STREAMING_SPDY_CONNECTION_H_
