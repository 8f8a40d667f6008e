#ifndef PODVISOR_CRI_STREAMING_COMMAND_CHANNELS_H_
#define PODVISOR_CRI_STREAMING_COMMAND_CHANNELS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "cri/streaming/stream_request.h"

namespace podvisor {

// What one exec or attach has between its client and its command, with the
// numbers of Kubernetes' channel.k8s.io protocols.
enum class CommandChannel : uint8_t {
  kStdin = 0,
  kStdout = 1,
  kStderr = 2,
  kError = 3,   // how the command ended
  kResize = 4,  // of the terminal
};
constexpr size_t kCommandChannels = 5;

// Which of them a request calls for, by number.
inline std::array<bool, kCommandChannels> WantedChannels(
    const ProcessStreams& streams) {
  return {streams.in, streams.out, streams.err && !streams.tty, true,
          streams.tty};
}

// Something that the client sent; an end is the last of its channel.
struct CommandInput {
  CommandChannel channel = CommandChannel::kStdin;
  std::string data;
  bool is_end = false;
};

// The channels of one exec or attach, whatever carries them. One thread
// receives; any other sends, and waits while the client does not read.
class CommandChannels {
 public:
  virtual ~CommandChannels() = default;

  // Whether all that the request calls for are there; by the receiving thread.
  virtual bool AreOpen() const = 0;

  // Blocks until the client does something; only on channels that were called
  // for. Errors of ByteChannel::Read(), and DataLoss when the client broke the
  // protocol.
  virtual absl::StatusOr<std::vector<CommandInput>> Receive(
      absl::Time deadline) = 0;

  // For the receiving thread while it cannot receive: tells a client that would
  // give up otherwise that it is still served. Does nothing when called often.
  virtual void KeepAlive() = 0;

  // Output for a channel that was not called for is dropped.
  virtual absl::Status Send(CommandChannel channel, absl::string_view data) = 0;

  // Tells the end: that of the output, then `message`, unless it is empty, on
  // the error channel, then that nothing follows. Clients read in this order.
  virtual void End(absl::string_view message) = 0;
};

}  // namespace podvisor

#endif  // PODVISOR_CRI_STREAMING_COMMAND_CHANNELS_H_
