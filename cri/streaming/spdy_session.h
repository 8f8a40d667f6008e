#ifndef PODVISOR_CRI_STREAMING_SPDY_SESSION_H_
#define PODVISOR_CRI_STREAMING_SPDY_SESSION_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "cri/streaming/spdy_headers.h"

namespace podvisor {

// The client opened a stream; answer with Accept() or Reset(). Until then it
// may send nothing, and drops what it is sent.
struct SpdyOpened {
  uint32_t stream = 0;
  SpdyHeaders headers;
  bool operator==(const SpdyOpened&) const = default;
};
// A piece of what the client sent on a stream, as it arrived.
struct SpdyReceived {
  uint32_t stream = 0;
  std::string data;
  bool operator==(const SpdyReceived&) const = default;
};
// The client sends nothing more on this stream; it may still receive.
struct SpdyHalfClosed {
  uint32_t stream = 0;
  bool operator==(const SpdyHalfClosed&) const = default;
};
// The client has given the stream up, in both directions.
struct SpdyAborted {
  uint32_t stream = 0;
  bool operator==(const SpdyAborted&) const = default;
};
// The client opens no more streams.
struct SpdyGoneAway {
  bool operator==(const SpdyGoneAway&) const = default;
};
using SpdyEvent = std::variant<SpdyOpened, SpdyReceived, SpdyHalfClosed,
                               SpdyAborted, SpdyGoneAway>;

// The server's end of one SPDY/3.1 connection, as kubelet, crictl and client-go
// speak it (moby/spdystream): bytes in, events out; calls in, bytes out. It
// does no I/O and knows neither exec nor port-forward. Pings are answered, and
// what only matters to flow control is ignored: these clients have none, so
// TCP's is the only one.
//
// Not thread-safe. The client is untrusted: frames that are no data, streams
// that are open and headers are bounded, and data is never gathered.
class SpdySession {
 public:
  using Event = SpdyEvent;

  // Streams that may be open at once: what a connection of 64 forwards, two for
  // each, needs while those that have ended are still being closed.
  static constexpr size_t kMaxStreams = 512;
  // Of a frame that is no data.
  static constexpr size_t kMaxControlBytes = 32 << 10;

  SpdySession() = default;

  // Appends what `bytes`, the next of the connection, mean. DataLoss: the
  // client broke the protocol, and the connection must end; the events before
  // that are there.
  absl::Status Receive(absl::string_view bytes, std::vector<SpdyEvent>* events);

  // Each appends to the output; on a stream that is no longer open they do
  // nothing, because the client may abort it at any moment.
  void Accept(uint32_t stream);
  void Send(uint32_t stream, absl::string_view data);
  void CloseWrite(uint32_t stream);
  // Refuses a stream, or ends it in both directions.
  void Reset(uint32_t stream);
  void GoAway();

  size_t open_streams() const { return streams_.size(); }
  // What is to be sent, which is then forgotten here.
  std::string TakeOutput();

 private:
  struct StreamState {
    bool client_closed = false;
    bool server_closed = false;
  };

  absl::Status ReceiveControl(absl::string_view frame,
                              std::vector<SpdyEvent>* events);
  absl::Status ReceiveOpening(uint8_t flags, absl::string_view body,
                              std::vector<SpdyEvent>* events);
  absl::Status SkipHeaders(absl::string_view body, size_t fixed_bytes);
  void ReceiveReset(absl::string_view body, std::vector<SpdyEvent>* events);
  void ReceiveData(absl::string_view* bytes, std::vector<SpdyEvent>* events);
  void ClientCloses(uint32_t stream, std::vector<SpdyEvent>* events);
  void ForgetIfClosed(uint32_t stream);
  void AppendControl(uint16_t type, uint8_t flags, absl::string_view body);

  SpdyHeaderReader reader_;
  SpdyHeaderWriter writer_;
  std::map<uint32_t, StreamState> streams_;
  uint32_t last_stream_ = 0;  // that the client opened
  // The begin of a frame, up to where it says what it is; of a control frame
  // all of it.
  std::string partial_;
  // The data frame whose payload is arriving.
  uint32_t data_stream_ = 0;
  uint32_t data_left_ = 0;
  bool data_is_last_ = false;
  bool in_data_ = false;
  std::string output_;
};

}  // namespace podvisor

#endif  // PODVISOR_CRI_STREAMING_SPDY_SESSION_H_
