#ifndef PODVISOR_CRI_STREAMING_PORT_FORWARD_STREAM_H_
#define PODVISOR_CRI_STREAMING_PORT_FORWARD_STREAM_H_

#include "absl/time/time.h"
#include "cri/streaming/byte_stream.h"
#include "cri/streaming/forwarded_port.h"
#include "cri/streaming/spdy_connection.h"

namespace podvisor {

// Serves one port-forward over SPDY, whatever carries that over `bytes`, until
// the client leaves: each pair of an
// error and a data stream with the same request id is one connection, which
// `dial` forwards on a thread of its own. What goes wrong with it is told on
// its error stream.
//
// At most kMaxForwards connections at once; a pair that is not complete after
// `creation` is reset. A connection that takes nothing for a minute while its
// buffer is full is given up, because the others wait for it meanwhile.
void ServePortForward(ByteStream* bytes, SpdyConnection* connection,
                      absl::Duration creation, const PortDialer& dial);

constexpr int kMaxForwards = 64;

}  // namespace podvisor

#endif  // PODVISOR_CRI_STREAMING_PORT_FORWARD_STREAM_H_
