#ifndef PODVISOR_CRI_STREAMING_WEBSOCKET_KEY_H_
#define PODVISOR_CRI_STREAMING_WEBSOCKET_KEY_H_

#include <string>

#include "absl/strings/string_view.h"

namespace podvisor {

// RFC 6455 4.2.1, 5: base64 of 16 bytes.
bool IsWebSocketKey(absl::string_view key);

// 4.2.2, 5.4: what shows a client that its key was read by a WebSocket server.
std::string WebSocketAcceptOf(absl::string_view key);

}  // namespace podvisor

#endif  // PODVISOR_CRI_STREAMING_WEBSOCKET_KEY_H_
