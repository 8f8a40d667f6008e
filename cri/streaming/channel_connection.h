#ifndef PODVISOR_CRI_STREAMING_CHANNEL_CONNECTION_H_
#define PODVISOR_CRI_STREAMING_CHANNEL_CONNECTION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cri/streaming/byte_stream.h"
#include "cri/streaming/channel_messages.h"
#include "cri/streaming/session_connection.h"
#include "cri/streaming/websocket_session.h"

namespace podvisor {

// Kubernetes' channels in the messages of a WebSocket, whatever they are for.
// One thread receives; any other sends, and waits while the client does not
// read.
class ChannelConnection {
 public:
  // `begin` is what was read before. Borrows `bytes`.
  ChannelConnection(ByteStream* bytes, std::string begin,
                    const ChannelProtocol& protocol);

  // Blocks until the client does something; there may be none of it on a
  // channel. Errors of ByteChannel::Read(), OutOfRange also after the client's
  // close frame; DataLoss when it broke the protocol, which it is told.
  absl::StatusOr<std::vector<ChannelInput>> Receive(absl::Time deadline);

  // For the receiving thread while it cannot receive: tells the client every 5
  // s that it is served.
  void KeepAlive();

  // At least one message, empty if there is no data.
  absl::Status Send(uint8_t channel, absl::string_view data);

  // Nothing is sent after it. Clients take what they were sent for whole only
  // when the connection ends so.
  void Close();

 private:
  ByteStream* const bytes_;
  SessionConnection<WebSocketSession> connection_;
  const ChannelProtocol protocol_;
  // Of the receiving thread.
  ChannelReader reader_;
  bool client_has_closed_ = false;
  absl::Time last_pong_;
};

}  // namespace podvisor

#endif  // PODVISOR_CRI_STREAMING_CHANNEL_CONNECTION_H_
