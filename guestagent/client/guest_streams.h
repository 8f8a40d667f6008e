#ifndef PODVISOR_GUESTAGENT_CLIENT_GUEST_STREAMS_H_
#define PODVISOR_GUESTAGENT_CLIENT_GUEST_STREAMS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/ids.h"
#include "guestagent/agent.pb.h"

namespace podvisor {

// How far a container's output has been stored, in bytes of each stream.
struct OutputOffsets {
  uint64_t stdout_bytes = 0;
  uint64_t stderr_bytes = 0;

  bool operator==(const OutputOffsets&) const = default;
};

struct ExecSyncRequest {
  ContainerId container;
  std::vector<std::string> args;
  // Of both streams together, so that the answer fits into one message of CRI;
  // the rest is discarded.
  size_t max_output_bytes = (16 << 20) - (64 << 10);
  absl::Duration drain_timeout = absl::Seconds(10);
  // Whether nobody wants the result any more, asked from another thread now and
  // then; may be empty.
  std::function<bool()> cancelled = {};
};

struct ExecSyncResult {
  int exit_code = 0;
  std::string stdout_data;
  std::string stderr_data;
};

// The agent's streams. Every call blocks its thread until it is over.
// Thread-safe.
class GuestStreams {
 public:
  virtual ~GuestStreams() = default;

  // Receives one piece of output; returns how far the output is now stored,
  // which is acknowledged to the agent, or an error to end the stream.
  using OutputSink = std::function<absl::StatusOr<OutputOffsets>(
      const agent::v1::OutputChunk& chunk)>;

  // Feeds `sink` from `begin` on until both streams have ended (OK), the sink
  // fails, or the connection breaks (Unavailable: call again with the offsets
  // reached). Chunks arrive in order, without gaps; a peer that breaks this is
  // DataLoss. NotFound for a container that the agent does not know.
  virtual absl::Status StreamOutput(const ContainerId& id,
                                    const OutputOffsets& begin,
                                    const OutputSink& sink) = 0;

  // Calls `on_exit` for every container exit, beginning with those that have
  // already happened, until the connection breaks (Unavailable).
  virtual absl::Status WatchExits(
      const std::function<void(const agent::v1::ContainerExit&)>& on_exit) = 0;

  // DeadlineExceeded, Cancelled: the process has been killed.
  virtual absl::StatusOr<ExecSyncResult> ExecSync(
      const ExecSyncRequest& request, absl::Time deadline) = 0;
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_CLIENT_GUEST_STREAMS_H_
