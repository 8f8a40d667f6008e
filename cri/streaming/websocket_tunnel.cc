#include "cri/streaming/websocket_tunnel.h"

#include <algorithm>
#include <utility>
#include <variant>
#include <vector>

#include "base/status_macros.h"

namespace podvisor {

WebSocketTunnel::WebSocketTunnel(ByteChannel* bytes, std::string begin)
    : connection_(bytes, std::move(begin)) {}

absl::StatusOr<size_t> WebSocketTunnel::Read(char* into, size_t size,
                                             absl::Time deadline) {
  while (received_.empty()) {
    if (client_has_closed_) {
      return absl::OutOfRangeError("the client has closed");
    }
    ASSIGN_OR_RETURN(const std::vector<WebSocketEvent> events,
                     connection_.Receive(deadline));
    for (const WebSocketEvent& event : events) {
      if (const auto* piece = std::get_if<WebSocketReceived>(&event)) {
        received_ += piece->data;
      } else {
        client_has_closed_ = true;
      }
    }
  }
  const size_t count = std::min(size, received_.size());
  std::copy_n(received_.begin(), count, into);
  received_.erase(0, count);
  return count;
}

absl::Status WebSocketTunnel::Write(absl::string_view bytes) {
  while (!bytes.empty()) {
    const absl::string_view message =
        bytes.substr(0, WebSocketSession::kMaxMessageBytes);
    RETURN_IF_ERROR(connection_.Do([&](WebSocketSession* session) {
      session->Send(WebSocketSession::Type::kBinary, message);
    }));
    bytes.remove_prefix(message.size());
  }
  return absl::OkStatus();
}

}  // namespace podvisor
