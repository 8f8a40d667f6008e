#ifndef PODVISOR_CRI_STREAMING_SPDY_CHANNELS_H_
#define PODVISOR_CRI_STREAMING_SPDY_CHANNELS_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "cri/streaming/byte_channel.h"
#include "cri/streaming/command_channels.h"
#include "cri/streaming/spdy_connection.h"

namespace podvisor {

// The channels of an exec or attach as streams of a SPDY connection, which the
// client opens one by one. Threads as CommandChannels says.
class SpdyChannels final : public CommandChannels {
 public:
  // `begin` is what was read before. Borrows `bytes`.
  SpdyChannels(ByteChannel* bytes, std::string begin,
               const ProcessStreams& streams);

  bool AreOpen() const override;
  absl::StatusOr<std::vector<CommandInput>> Receive(
      absl::Time deadline) override;
  // SPDY's clients give up on nothing but TCP.
  void KeepAlive() override {}
  absl::Status Send(CommandChannel channel, absl::string_view data) override;
  void End(absl::string_view message) override;

 private:
  absl::Status Open(const SpdyOpened& opened);
  void Close(CommandChannel channel);
  void Append(uint32_t stream, std::string data, bool is_end,
              std::vector<CommandInput>* inputs) const;

  SpdyConnection connection_;
  const std::array<bool, kCommandChannels> wanted_;
  // Streams by channel, 0: not yet. Changed only until all are there, and used
  // by other threads only then.
  std::array<uint32_t, kCommandChannels> ids_ = {};
};

}  // namespace podvisor

#endif  // PODVISOR_CRI_STREAMING_SPDY_CHANNELS_H_
