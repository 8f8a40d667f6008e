#include "guestagent/client/channel_handshake.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "guestagent/channel_format.h"
#include "guestagent/client/ack_scanner.h"
#include "guestagent/client/random_bytes.h"

namespace podvisor {
namespace {

constexpr size_t kReadBytes = 64 << 10;

// The peer's failures are all the same to the caller: no QEMU, no agent. A
// missing socket is not NotFound, which would mean a missing container.
absl::Status PeerError(int error, absl::string_view what) {
  return absl::UnavailableError(
      absl::StrCat("agent channel: ", what, ": ", std::strerror(error)));
}

absl::StatusOr<sockaddr_un> SocketAddress(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(
        absl::StrCat("not a path of a unix socket: \"", path, "\""));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

int PollTimeout(absl::Duration left) {
  // Rounded up, so that a rest of less than a millisecond does not spin.
  const int64_t ms = absl::ToInt64Milliseconds(
      absl::Ceil(std::max(left, absl::ZeroDuration()), absl::Milliseconds(1)));
  return static_cast<int>(std::min<int64_t>(ms, 60'000));
}

// One connection's worth of waiting.
class Waiter {
 public:
  Waiter(absl::Time until, int cancel_fd, Clock& clock)
      : until_(until), cancel_fd_(cancel_fd), clock_(clock) {}

  // Waits for `events` on `fd` (-1: only for time to pass), at most `limit`.
  // OK also when `limit` is over; DeadlineExceeded; Cancelled.
  absl::Status Await(int fd, short events,
                     absl::Duration limit = absl::InfiniteDuration()) {
    const absl::Duration left = until_ - clock_.Now();
    if (left <= absl::ZeroDuration()) {
      return absl::DeadlineExceededError("agent did not answer the handshake");
    }
    pollfd polled[2] = {{fd, events, 0}, {cancel_fd_, POLLIN, 0}};
    const int ready = poll(polled, 2, PollTimeout(std::min(left, limit)));
    if (ready < 0 && errno != EINTR) return ErrnoStatus(errno, "poll");
    if (ready > 0 && polled[1].revents != 0) {
      return absl::CancelledError("disconnected from the agent");
    }
    return absl::OkStatus();
  }

 private:
  absl::Time until_;
  int cancel_fd_;
  Clock& clock_;
};

absl::StatusOr<UniqueFd> ConnectTo(const sockaddr_un& address, Waiter& waiter) {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "socket");
  while (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address),
                 sizeof(address)) != 0) {
    if (errno == EINTR) continue;
    // EAGAIN: the backlog is full. No descriptor tells when that changes.
    if (errno != EAGAIN) return PeerError(errno, "connect");
    RETURN_IF_ERROR(waiter.Await(-1, 0, absl::Milliseconds(10)));
  }
  return fd;
}

// QEMU 7.2 may leave a port throttled when a host goes away while the guest
// sends; then the next connection receives nothing, and only its close helps.
absl::Status ConnectAndClose(const sockaddr_un& address, Waiter& waiter) {
  ASSIGN_OR_RETURN(const UniqueFd fd, ConnectTo(address, waiter));
  shutdown(fd.get(), SHUT_RDWR);
  return absl::OkStatus();
}

// In one piece, so that the guest finds it at the start of a read.
absl::Status SendHello(int fd, const ChannelHello& hello) {
  const auto bytes = EncodeChannelHello(hello);
  ssize_t sent;
  do {
    sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) return PeerError(errno, "send");
  if (sent != static_cast<ssize_t>(bytes.size())) {
    // A new socket's buffer is empty; only a kernel without memory does this.
    return absl::UnavailableError("agent channel: HELLO was cut");
  }
  return absl::OkStatus();
}

// Takes all bytes through the ACK, and not one more: the next belongs to gRPC.
absl::Status ReadThroughAck(int fd, uint64_t max_stale_bytes,
                            AckScanner& scanner, Waiter& waiter) {
  std::array<char, kReadBytes> buffer;
  while (!scanner.found()) {
    RETURN_IF_ERROR(waiter.Await(fd, POLLIN));
    const ssize_t peeked =
        recv(fd, buffer.data(), buffer.size(), MSG_PEEK | MSG_DONTWAIT);
    if (peeked < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (peeked < 0) return PeerError(errno, "recv");
    if (peeked == 0) {
      return absl::UnavailableError("agent channel: peer hung up");
    }
    const size_t take = scanner.Scan(
        absl::string_view(buffer.data(), static_cast<size_t>(peeked)));
    // Peeked bytes are there, so they come at once and whole.
    if (recv(fd, buffer.data(), take, MSG_DONTWAIT) !=
        static_cast<ssize_t>(take)) {
      return absl::UnavailableError("agent channel: bytes vanished");
    }
    if (!scanner.found() && scanner.discarded() > max_stale_bytes) {
      return absl::DataLossError(
          absl::StrCat("agent channel: no ACK in ", scanner.discarded(),
                       " bytes; the peer is not an agent"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<AgentChannel> TryOnce(const sockaddr_un& address,
                                     const AgentSecret& secret,
                                     const HandshakeOptions& options,
                                     Waiter& waiter) {
  RETURN_IF_ERROR(ConnectAndClose(address, waiter));
  ASSIGN_OR_RETURN(UniqueFd fd, ConnectTo(address, waiter));
  ChannelHello hello;
  hello.secret = secret.bytes();
  // New for each try: the ACK of a try that was given up may still come.
  FillRandom(hello.nonce.data(), hello.nonce.size());
  RETURN_IF_ERROR(SendHello(fd.get(), hello));
  AckScanner scanner(hello.nonce);
  RETURN_IF_ERROR(
      ReadThroughAck(fd.get(), options.max_stale_bytes, scanner, waiter));
  if (scanner.ack().version != kChannelVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat("agent channel: the agent speaks version ",
                     scanner.ack().version, ", not ", kChannelVersion));
  }
  AgentChannel channel;
  channel.fd = std::move(fd);
  channel.stale_bytes = scanner.discarded();
  return channel;
}

}  // namespace

absl::StatusOr<AgentChannel> OpenAgentChannel(const std::string& socket_path,
                                              const AgentSecret& secret,
                                              absl::Time deadline,
                                              const HandshakeOptions& options,
                                              Clock& clock) {
  ASSIGN_OR_RETURN(const sockaddr_un address, SocketAddress(socket_path));
  absl::Duration timeout = options.first_try_timeout;
  for (int tries = 1;; ++tries) {
    Waiter waiter(std::min(deadline, clock.Now() + timeout), options.cancel_fd,
                  clock);
    absl::StatusOr<AgentChannel> channel =
        TryOnce(address, secret, options, waiter);
    if (channel.ok()) channel->tries = tries;
    const bool again =
        absl::IsDeadlineExceeded(channel.status()) && clock.Now() < deadline;
    if (!again) return channel;
    timeout = std::min(2 * timeout, options.max_try_timeout);
  }
}

}  // namespace podvisor
