#ifndef PODVISOR_CRI_STREAMING_COMMAND_STREAM_H_
#define PODVISOR_CRI_STREAMING_COMMAND_STREAM_H_

#include <functional>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cri/streaming/byte_stream.h"
#include "cri/streaming/command_channels.h"
#include "cri/streaming/exit_message.h"
#include "guestagent/client/guest_streams.h"

namespace podvisor {

// Runs a command for a peer, until it is over: exec or attach.
using CommandRunner = std::function<absl::StatusOr<int>(StreamPeer* peer)>;

// Serves one exec or attach: awaits its channels at most `creation` long, runs
// `run` on a thread of its own, and tells its end. Returns when the connection
// is done with; a client that leaves earlier hangs up on `run`.
void ServeCommand(ByteStream* bytes, CommandChannels* channels,
                  ChannelVersion version, absl::Duration creation,
                  const CommandRunner& run);

}  // namespace podvisor

#endif  // PODVISOR_CRI_STREAMING_COMMAND_STREAM_H_
