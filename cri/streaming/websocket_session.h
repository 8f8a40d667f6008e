#ifndef PODVISOR_CRI_STREAMING_WEBSOCKET_SESSION_H_
#define PODVISOR_CRI_STREAMING_WEBSOCKET_SESSION_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace podvisor {

// A piece of a message, as it arrived: a message has one or more, and the last
// one, which may be empty, says so.
struct WebSocketReceived {
  std::string data;
  bool ends_message = false;
  bool operator==(const WebSocketReceived&) const = default;
};
// The client sends nothing more, and awaits nothing.
struct WebSocketClosed {
  bool operator==(const WebSocketClosed&) const = default;
};
using WebSocketEvent = std::variant<WebSocketReceived, WebSocketClosed>;

// RFC 6455 7.4.1: why a connection is closed.
enum class WebSocketCloseCode : uint16_t {
  kNormal = 1000,
  kProtocolError = 1002,
  kTooBig = 1009,
};

// The server's end of one WebSocket connection after its handshake (RFC 6455,
// without extensions): bytes in, events out; calls in, bytes out. It does no
// I/O. Pings and the client's close are answered. Text and binary messages are
// the same here: Kubernetes' clients send either, and what a message carries is
// never read as text, so it is not checked for UTF-8.
//
// Not thread-safe. The client is untrusted: frames are bounded, and no message
// is ever gathered.
class WebSocketSession {
 public:
  using Event = WebSocketEvent;

  // Of one frame that a client sends: what the reference server takes
  // (golang.org/x/net/websocket, DefaultMaxPayloadBytes).
  static constexpr uint64_t kMaxFrameBytes = 32 << 20;
  // Of one message that is sent.
  static constexpr size_t kMaxMessageBytes = 64 << 10;

  // Appends what `bytes`, the next of the connection, mean. DataLoss: the
  // client broke the protocol, and the connection must end; the output says so,
  // and the events before that are there. What follows the client's close is
  // ignored.
  absl::Status Receive(absl::string_view bytes,
                       std::vector<WebSocketEvent>* events);

  enum class Type : uint8_t { kText = 1, kBinary = 2 };
  // Each appends to the output; after a close they do nothing. A message is not
  // empty, and not longer than kMaxMessageBytes.
  void Send(Type type, absl::string_view message);
  // Tells a client whose input nobody reads that the connection is alive.
  void Pong() { AppendFrame(kPong, ""); }
  void Close(WebSocketCloseCode code);

  // What is to be sent, which is then forgotten here.
  std::string TakeOutput();

 private:
  static constexpr uint8_t kPong = 10;

  // The frame whose payload is arriving.
  struct Frame {
    uint8_t opcode = 0;
    bool is_final = false;
    uint64_t left = 0;
    char mask[4] = {};
    size_t mask_at = 0;
  };

  absl::Status ReceiveHead();
  absl::Status CheckHead();
  absl::Status ReceivePayload(absl::string_view* bytes,
                              std::vector<WebSocketEvent>* events);
  absl::Status ReceiveControl(std::vector<WebSocketEvent>* events);
  absl::Status Broken(WebSocketCloseCode code, absl::string_view what);
  void AppendFrame(uint8_t opcode, absl::string_view payload);

  std::string head_;  // the begin of a frame, up to its payload
  bool in_payload_ = false;
  Frame frame_;
  std::string control_;          // the payload of a control frame
  bool in_message_ = false;      // a fragment has come, and not the last
  bool client_is_done_ = false;  // closed, or broken
  bool closed_ = false;          // by the server; nothing more is sent
  std::string output_;
};

}  // namespace podvisor

#endif  // PODVISOR_CRI_STREAMING_WEBSOCKET_SESSION_H_
