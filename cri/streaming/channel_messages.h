#ifndef PODVISOR_CRI_STREAMING_CHANNEL_MESSAGES_H_
#define PODVISOR_CRI_STREAMING_CHANNEL_MESSAGES_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cri/streaming/exit_message.h"
#include "cri/streaming/websocket_session.h"

namespace podvisor {

// One of Kubernetes' WebSocket protocols, in which each message begins with the
// number of the channel that it belongs to.
struct ChannelProtocol {
  bool base64 = false;     // a digit and base64, as text, instead of bytes
  bool has_close = false;  // v5: a channel can be closed by a message
  ChannelVersion version = ChannelVersion::kStatus;

  bool operator==(const ChannelProtocol&) const = default;
};

// "v5.channel.k8s.io"; what is not known is the oldest, which has no name.
ChannelProtocol ChannelProtocolOf(absl::string_view name);

// The message that carries `data` on a channel.
std::string ChannelMessage(const ChannelProtocol& protocol, uint8_t channel,
                           absl::string_view data);
WebSocketSession::Type ChannelMessageType(const ChannelProtocol& protocol);

// Something that a client sent on a channel.
struct ChannelInput {
  uint8_t channel = 0;
  std::string data;
  bool is_close = false;  // the client sends nothing more there

  bool operator==(const ChannelInput&) const = default;
};

// What a client's messages mean, piece by piece; none is gathered. Not
// thread-safe; the client is untrusted.
class ChannelReader {
 public:
  explicit ChannelReader(const ChannelProtocol& protocol)
      : protocol_(protocol) {}

  // What a piece adds, if anything. DataLoss: it is malformed, and the reader
  // of no use afterwards.
  absl::StatusOr<std::optional<ChannelInput>> Receive(
      const WebSocketReceived& piece);

 private:
  absl::StatusOr<std::optional<ChannelInput>> ReceiveClose(
      absl::string_view data, bool ends_message);
  absl::StatusOr<std::string> FromBase64(absl::string_view text,
                                         bool ends_message);

  const ChannelProtocol protocol_;
  // Of the message that is arriving.
  std::optional<uint8_t> channel_;
  std::string rest_;  // of base64, no group of four yet; or what is closed
  bool padded_ = false;
};

}  // namespace podvisor

#endif  // PODVISOR_CRI_STREAMING_CHANNEL_MESSAGES_H_
