#ifndef PODVISOR_GUESTAGENT_CLIENT_GUEST_STREAMS_H_
#define PODVISOR_GUESTAGENT_CLIENT_GUEST_STREAMS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
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
  // Stopped when nobody wants the result any more.
  std::stop_token gone = {};
};

struct ExecSyncResult {
  int exit_code = 0;
  std::string stdout_data;
  std::string stderr_data;
};

// The other end of an interactive stream: a person at a terminal, a connection
// to be forwarded. Thread-safe.
class StreamPeer {
 public:
  struct Input {
    enum class Kind {
      kData,
      kEndOfData,  // no more data; the peer may still read and resize
      kResize,
      kGone,     // the peer has left: nobody reads any more
      kStopped,  // after StopInput()
    };
    Kind kind = Kind::kGone;
    std::string data = {};  // of kData; at most 64 KiB
    uint32_t width = 0;     // of kResize, in characters
    uint32_t height = 0;
  };

  virtual ~StreamPeer() = default;

  // Blocks until the peer does something. One caller at a time; after kGone
  // and kStopped not called again.
  virtual Input NextInput() = 0;
  // Ends NextInput(), also one that waits.
  virtual void StopInput() = 0;
  // What to do, once, when the peer leaves, or at once when it has left: also
  // while nobody waits in NextInput(), because the guest takes no more. Runs on
  // any thread and must neither block nor call the peer. Replaces the one
  // before; none runs once `on_gone` = nullptr has returned.
  virtual void OnGone(std::function<void()> on_gone) = 0;

  // Hands output over; waits while the peer does not take it. An error means
  // that the peer is gone. No data means that none follows, where the call
  // says so. One caller at a time.
  virtual absl::Status TakeOutput(bool is_stderr, absl::string_view data) = 0;
};

struct GuestExec {
  ContainerId container;
  std::vector<std::string> args;
  bool tty = false;
  bool with_stdin = false;
  absl::Duration drain_timeout = absl::Seconds(10);
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

  // DeadlineExceeded: the process was killed, and is dead unless the guest did
  // not say so within 3 s of the deadline. Cancelled: it will be killed.
  virtual absl::StatusOr<ExecSyncResult> ExecSync(
      const ExecSyncRequest& request, absl::Time deadline) = 0;

  // Runs a process with `peer` at its streams and returns its exit code. A peer
  // that leaves takes the process with it (Cancelled).
  virtual absl::StatusOr<int> Exec(const GuestExec& request,
                                   StreamPeer* peer) = 0;

  // Joins a running container: live output to `peer`, and with `with_stdin` its
  // input to the container. Returns the container's exit code; a peer that
  // leaves detaches (Cancelled) and the container runs on. ResourceExhausted:
  // the peer is too slow, or too many are attached.
  virtual absl::StatusOr<int> Attach(const ContainerId& id, bool with_stdin,
                                     StreamPeer* peer) = 0;

  // One connection to a port of the pod's loopback, until both ends have said
  // all: empty output is the guest's end of data. FailedPrecondition: nobody
  // listens, or the connection broke.
  virtual absl::Status PortForward(uint16_t port, StreamPeer* peer) = 0;
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_CLIENT_GUEST_STREAMS_H_
