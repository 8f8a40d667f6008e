#ifndef PODVISOR_CRI_STREAMING_STREAM_REQUEST_H_
#define PODVISOR_CRI_STREAMING_STREAM_REQUEST_H_

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "base/ids.h"

namespace podvisor {

// Which of a process's streams a client will open; with a tty its standard
// error is in its standard output.
struct ProcessStreams {
  bool in = false;
  bool out = false;
  bool err = false;
  bool tty = false;

  bool operator==(const ProcessStreams&) const = default;
};

struct ExecStreamRequest {
  ContainerId container;
  std::vector<std::string> args;
  ProcessStreams streams;

  bool operator==(const ExecStreamRequest&) const = default;
};

struct AttachStreamRequest {
  ContainerId container;
  ProcessStreams streams;

  bool operator==(const AttachStreamRequest&) const = default;
};

// Each is a connection of its own.
inline constexpr int kMaxForwardedPorts = 64;

struct PortForwardRequest {
  PodId pod;
  // At most kMaxForwardedPorts, for clients that name none while they stream.
  std::vector<uint16_t> ports{};

  bool operator==(const PortForwardRequest&) const = default;
};

// What a client asked for in CRI and will do at the streaming server.
using StreamRequest =
    std::variant<ExecStreamRequest, AttachStreamRequest, PortForwardRequest>;

}  // namespace podvisor

#endif  // PODVISOR_CRI_STREAMING_STREAM_REQUEST_H_
