#ifndef PODVISOR_CRI_STREAMING_COMMAND_STREAM_H_
#define PODVISOR_CRI_STREAMING_COMMAND_STREAM_H_

#include <functional>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "cri/streaming/byte_stream.h"
#include "cri/streaming/exit_message.h"
#include "cri/streaming/spdy_connection.h"
#include "cri/streaming/stream_request.h"
#include "guestagent/client/guest_streams.h"

namespace podvisor {

// Runs a command for a peer, until it is over: exec or attach.
using CommandRunner = std::function<absl::StatusOr<int>(StreamPeer* peer)>;

// Serves one exec or attach over SPDY: awaits the streams that the request
// calls for at most `creation` long, runs `run` on a thread of its own, and
// tells its end on the error stream. Returns when the connection is done with;
// a client that leaves earlier hangs up on `run`.
void ServeCommandOverSpdy(ByteStream* bytes, SpdyConnection* connection,
                          const ProcessStreams& streams, ChannelVersion version,
                          absl::Duration creation, const CommandRunner& run);

}  // namespace podvisor

#endif  // PODVISOR_CRI_STREAMING_COMMAND_STREAM_H_
