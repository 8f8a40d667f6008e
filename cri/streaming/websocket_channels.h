#ifndef PODVISOR_CRI_STREAMING_WEBSOCKET_CHANNELS_H_
#define PODVISOR_CRI_STREAMING_WEBSOCKET_CHANNELS_H_

#include <array>
#include <string>
#include <vector>

#include "cri/streaming/byte_stream.h"
#include "cri/streaming/channel_connection.h"
#include "cri/streaming/channel_messages.h"
#include "cri/streaming/command_channels.h"

namespace podvisor {

// The channels of an exec or attach as messages of a WebSocket. They need not
// be opened, and only v5 can end its input without ending all. Threads as
// CommandChannels says.
class WebSocketChannels final : public CommandChannels {
 public:
  // `begin` is what was read before. Borrows `bytes`.
  WebSocketChannels(ByteStream* bytes, std::string begin,
                    const ChannelProtocol& protocol,
                    const ProcessStreams& streams);

  bool AreOpen() const override { return true; }
  absl::StatusOr<std::vector<CommandInput>> Receive(
      absl::Time deadline) override;
  void KeepAlive() override { connection_.KeepAlive(); }
  absl::Status Send(CommandChannel channel, absl::string_view data) override;
  void End(absl::string_view message) override;

  // An empty message, by which the first clients see that the command begins.
  absl::Status Greet();

 private:
  bool IsWanted(size_t channel) const {
    return channel < wanted_.size() && wanted_[channel];
  }

  ChannelConnection connection_;
  const std::array<bool, kCommandChannels> wanted_;
};

}  // namespace podvisor

#endif  // PODVISOR_CRI_STREAMING_WEBSOCKET_CHANNELS_H_
