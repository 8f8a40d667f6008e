#include "cri/streaming/websocket_channels.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <variant>

#include "base/status_macros.h"

namespace podvisor {
namespace {

// Of output in one message; in base64 it is a third more.
constexpr size_t kMaxDataBytes = 32 << 10;
// client-go pings every 5 s and gives up after 61 s without a pong.
constexpr absl::Duration kPongPeriod = absl::Seconds(5);

}  // namespace

WebSocketChannels::WebSocketChannels(ByteStream* bytes, std::string begin,
                                     const ChannelProtocol& protocol,
                                     const ProcessStreams& streams)
    : bytes_(bytes),
      connection_(bytes, std::move(begin)),
      protocol_(protocol),
      wanted_(WantedChannels(streams)),
      reader_(protocol),
      last_pong_(bytes->Now()) {}

absl::StatusOr<std::vector<CommandInput>> WebSocketChannels::Receive(
    absl::Time deadline) {
  if (client_has_closed_) {
    return absl::OutOfRangeError("the client has closed");
  }
  ASSIGN_OR_RETURN(const std::vector<WebSocketEvent> events,
                   connection_.Receive(deadline));
  std::vector<CommandInput> inputs;
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
    if (input->has_value() && IsWanted((*input)->channel)) {
      inputs.push_back({static_cast<CommandChannel>((*input)->channel),
                        std::move((*input)->data), (*input)->is_close});
    }
  }
  return inputs;
}

void WebSocketChannels::KeepAlive() {
  const absl::Time now = bytes_->Now();
  if (now - last_pong_ < kPongPeriod) return;
  last_pong_ = now;
  connection_.DoWithoutTurn([](WebSocketSession* session) { session->Pong(); })
      .IgnoreError();
}

absl::Status WebSocketChannels::Greet() {
  for (const CommandChannel channel :
       {CommandChannel::kStdout, CommandChannel::kStderr}) {
    if (IsWanted(static_cast<size_t>(channel))) return SendMessage(channel, "");
  }
  return SendMessage(CommandChannel::kError, "");
}

absl::Status WebSocketChannels::SendMessage(CommandChannel channel,
                                            absl::string_view data) {
  return connection_.Do([&](WebSocketSession* session) {
    session->Send(
        ChannelMessageType(protocol_),
        ChannelMessage(protocol_, static_cast<uint8_t>(channel), data));
  });
}

absl::Status WebSocketChannels::Send(CommandChannel channel,
                                     absl::string_view data) {
  if (!IsWanted(static_cast<size_t>(channel))) return absl::OkStatus();
  while (!data.empty()) {
    RETURN_IF_ERROR(SendMessage(channel, data.substr(0, kMaxDataBytes)));
    data.remove_prefix(std::min(kMaxDataBytes, data.size()));
  }
  return absl::OkStatus();
}

void WebSocketChannels::End(absl::string_view message) {
  Send(CommandChannel::kError, message).IgnoreError();
  // Clients take the output for whole, and the message for the last, only when
  // the connection ends normally.
  connection_
      .Do([](WebSocketSession* session) {
        session->Close(WebSocketCloseCode::kNormal);
      })
      .IgnoreError();
}

}  // namespace podvisor
