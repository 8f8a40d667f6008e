#ifndef PODVISOR_GUESTAGENT_CLIENT_CHANNEL_HANDSHAKE_H_
#define PODVISOR_GUESTAGENT_CLIENT_CHANNEL_HANDSHAKE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/unique_fd.h"
#include "guestagent/client/agent_secret.h"

namespace podvisor {

struct HandshakeOptions {
  // How long the first try waits for its ACK. Doubled with each try up to
  // `max_try_timeout`, which must exceed the slowest answer of a busy guest.
  absl::Duration first_try_timeout = absl::Milliseconds(250);
  absl::Duration max_try_timeout = absl::Seconds(8);
  // Stale bytes of earlier sessions: up to 2 MiB were seen in front of an ACK.
  uint64_t max_stale_bytes = (4 << 20) + (64 << 10);
  // Becomes readable to give up (an eventfd); -1: never.
  int cancel_fd = -1;
};

struct AgentChannel {
  UniqueFd fd;  // non-blocking; its next byte is the first of HTTP/2
  int tries = 0;
  uint64_t stale_bytes = 0;  // discarded in front of the ACK
};

// Begins a session with the agent behind the unix socket of QEMU's chardev.
//
// QEMU serves one connection at a time: while someone else is connected, this
// waits in its backlog, where the only sign is the missing ACK. May be called
// before the guest has booted. Untrusted peer. Thread-safe.
//
// Errors:
//   DeadlineExceeded    no ACK in time.
//   Unavailable         nobody listens, or the peer hung up: QEMU is gone.
//   DataLoss            more stale bytes than a port can hold.
//   FailedPrecondition  the agent speaks another version of the channel.
//   Cancelled           through `cancel_fd`.
//   InvalidArgument     the path is too long for a unix socket.
absl::StatusOr<AgentChannel> OpenAgentChannel(const std::string& socket_path,
                                              const AgentSecret& secret,
                                              absl::Time deadline,
                                              const HandshakeOptions& options,
                                              Clock& clock);

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_CLIENT_CHANNEL_HANDSHAKE_H_
