#ifndef PODVISOR_CRI_STREAMING_WEBSOCKET_TUNNEL_H_
#define PODVISOR_CRI_STREAMING_WEBSOCKET_TUNNEL_H_

#include <string>

#include "cri/streaming/byte_channel.h"
#include "cri/streaming/session_connection.h"
#include "cri/streaming/websocket_session.h"

namespace podvisor {

// Bytes in the messages of a WebSocket, wherever these begin and end:
// Kubernetes' "SPDY/3.1+portforward.k8s.io" carries a SPDY connection so.
// Threads as ByteChannel says.
class WebSocketTunnel final : public ByteChannel {
 public:
  // `begin` is what was read of the WebSocket before. Borrows `bytes`.
  WebSocketTunnel(ByteChannel* bytes, std::string begin);

  // OutOfRange also after the client's close frame.
  absl::StatusOr<size_t> Read(char* into, size_t size,
                              absl::Time deadline) override;
  absl::Status Write(absl::string_view bytes) override;

 private:
  SessionConnection<WebSocketSession> connection_;
  // Of the reading thread.
  std::string received_;  // and not read yet; one read of the socket at most
  bool client_has_closed_ = false;
};

}  // namespace podvisor

#endif  // PODVISOR_CRI_STREAMING_WEBSOCKET_TUNNEL_H_
