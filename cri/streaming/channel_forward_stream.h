#ifndef PODVISOR_CRI_STREAMING_CHANNEL_FORWARD_STREAM_H_
#define PODVISOR_CRI_STREAMING_CHANNEL_FORWARD_STREAM_H_

#include <cstdint>
#include <vector>

#include "cri/streaming/byte_stream.h"
#include "cri/streaming/channel_connection.h"
#include "cri/streaming/forwarded_port.h"

namespace podvisor {

// Serves one port-forward of before the SPDY tunnel, as clients in other
// languages than Go still ask kubelet for it: one connection to each of
// `ports`, dialled at once. The n-th has its data on channel 2n and what goes
// wrong on channel 2n + 1, both of which begin with the port as 16 bits, the
// lower first. Neither side can end one direction alone.
//
// Returns when all connections are over, or the client leaves. A connection
// that takes nothing for a minute while its buffer is full is given up, because
// the others wait for it meanwhile. At most kMaxForwardedPorts ports.
void ServeChannelForward(ByteStream* bytes, ChannelConnection* connection,
                         const std::vector<uint16_t>& ports,
                         const PortDialer& dial);

}  // namespace podvisor

#endif  // PODVISOR_CRI_STREAMING_CHANNEL_FORWARD_STREAM_H_
