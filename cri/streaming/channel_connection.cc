#include "cri/streaming/channel_connection.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <variant>

#include "base/status_macros.h"

namespace podvisor {
namespace {

// Of data in one message; in base64 it is a third more.
constexpr size_t kMaxDataBytes = 32 << 10;
// client-go pings every 5 s and gives up after 61 s without a pong.
constexpr absl::Duration kPongPeriod = absl::Seconds(5);

}  // namespace

ChannelConnection::ChannelConnection(ByteStream* bytes, std::string begin,
                                     const ChannelProtocol& protocol)
    : bytes_(bytes),
      connection_(bytes, std::move(begin)),
      protocol_(protocol),
      reader_(protocol),
      last_pong_(bytes->Now()) {}

absl::StatusOr<std::vector<ChannelInput>> ChannelConnection::Receive(
    absl::Time deadline) {
  if (client_has_closed_) {
    return absl::OutOfRangeError("the client has closed");
  }
  ASSIGN_OR_RETURN(const std::vector<WebSocketEvent> events,
                   connection_.Receive(deadline));
  std::vector<ChannelInput> inputs;
  for (const WebSocketEvent& event : events) {
    const auto* const piece = std::get_if<WebSocketReceived>(&event);
    if (piece == nullptr) {
      client_has_closed_ = true;
      continue;
    }
    absl::StatusOr<std::optional<ChannelInput>> input = reader_.Receive(*piece);
    if (!input.ok()) {
      connection_
          .DoWithoutTurn([](WebSocketSession* session) {
            session->Close(WebSocketCloseCode::kProtocolError);
          })
          .IgnoreError();
      return input.status();
    }
    if (input->has_value()) inputs.push_back(**std::move(input));
  }
  return inputs;
}

void ChannelConnection::KeepAlive() {
  const absl::Time now = bytes_->Now();
  if (now - last_pong_ < kPongPeriod) return;
  // Never waited for, by the thread that feeds the command: the client may read
  // only once its input is taken.
  if (!bytes_->CanWrite()) return;
  last_pong_ = now;
  connection_.DoWithoutTurn([](WebSocketSession* session) { session->Pong(); })
      .IgnoreError();
}

absl::Status ChannelConnection::Send(uint8_t channel, absl::string_view data) {
  do {
    const absl::string_view piece = data.substr(0, kMaxDataBytes);
    RETURN_IF_ERROR(connection_.Do([&](WebSocketSession* session) {
      session->Send(ChannelMessageType(protocol_),
                    ChannelMessage(protocol_, channel, piece));
    }));
    data.remove_prefix(piece.size());
  } while (!data.empty());
  return absl::OkStatus();
}

void ChannelConnection::Close() {
  connection_
      .Do([](WebSocketSession* session) {
        session->Close(WebSocketCloseCode::kNormal);
      })
      .IgnoreError();
}

}  // namespace podvisor
