#include "cri/streaming/websocket_channels.h"

#include <utility>

#include "base/status_macros.h"

namespace podvisor {

WebSocketChannels::WebSocketChannels(ByteStream* bytes, std::string begin,
                                     const ChannelProtocol& protocol,
                                     const ProcessStreams& streams)
    : connection_(bytes, std::move(begin), protocol),
      wanted_(WantedChannels(streams)) {}

absl::StatusOr<std::vector<CommandInput>> WebSocketChannels::Receive(
    absl::Time deadline) {
  ASSIGN_OR_RETURN(std::vector<ChannelInput> received,
                   connection_.Receive(deadline));
  std::vector<CommandInput> inputs;
  for (ChannelInput& input : received) {
    if (!IsWanted(input.channel)) continue;
    inputs.push_back({static_cast<CommandChannel>(input.channel),
                      std::move(input.data), input.is_close});
  }
  return inputs;
}

absl::Status WebSocketChannels::Greet() {
  for (const CommandChannel channel :
       {CommandChannel::kStdout, CommandChannel::kStderr}) {
    const auto number = static_cast<uint8_t>(channel);
    if (IsWanted(number)) return connection_.Send(number, "");
  }
  return connection_.Send(static_cast<uint8_t>(CommandChannel::kError), "");
}

absl::Status WebSocketChannels::Send(CommandChannel channel,
                                     absl::string_view data) {
  const auto number = static_cast<uint8_t>(channel);
  return data.empty() || !IsWanted(number) ? absl::OkStatus()
                                           : connection_.Send(number, data);
}

void WebSocketChannels::End(absl::string_view message) {
  Send(CommandChannel::kError, message).IgnoreError();
  connection_.Close();
}

}  // namespace podvisor
