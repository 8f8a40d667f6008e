#include "guestagent/agent/port_forward.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "base/deadline.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "guestagent/agent/network_namespace.h"
#include "guestagent/agent/peer_reader.h"
#include "guestagent/agent/write_or_stop.h"

namespace podvisor {
namespace {

using agent::v1::PortForwardInput;
using agent::v1::PortForwardOutput;

constexpr size_t kPieceBytes = 64 << 10;
// Of one address. Only a listener that does not accept makes it wait.
constexpr absl::Duration kConnectTimeout = absl::Seconds(10);
// How soon a cancelled call is noticed while nothing is carried.
constexpr int kCancelPollMillis = 250;

// The result of a connect() that goes on; an errno.
int AwaitConnected(int fd, grpc::ServerContext* context) {
  const Deadline deadline = Deadline::After(kConnectTimeout);
  while (!deadline.IsOver()) {
    if (context->IsCancelled()) return ECANCELED;
    pollfd polled = {fd, POLLOUT, 0};
    if (poll(&polled, 1, kCancelPollMillis) <= 0) continue;
    int error = 0;
    socklen_t length = sizeof(error);
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
    return error;
  }
  return ETIMEDOUT;
}

template <typename Address>
absl::StatusOr<UniqueFd> Dial(const Address& address, int family,
                              grpc::ServerContext* context) {
  UniqueFd fd(socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "socket");
  int error = 0;
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address),
              sizeof(address)) != 0) {
    error = errno == EINPROGRESS ? AwaitConnected(fd.get(), context) : errno;
  }
  if (error != 0) return ErrnoStatus(error, "connect");
  return fd;
}

// The error is that of 127.0.0.1, where most programs listen too.
absl::StatusOr<UniqueFd> DialLoopback(uint16_t port,
                                      grpc::ServerContext* context) {
  sockaddr_in v4 = {};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  absl::StatusOr<UniqueFd> dialed = Dial(v4, AF_INET, context);
  if (dialed.ok()) return dialed;
  sockaddr_in6 v6 = {};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  v6.sin6_addr = in6addr_loopback;
  absl::StatusOr<UniqueFd> dialed_v6 = Dial(v6, AF_INET6, context);
  return dialed_v6.ok() ? std::move(dialed_v6) : std::move(dialed);
}

bool WriteError(const std::string& text, PortForwards::Stream* stream) {
  PortForwardOutput output;
  output.set_error(text);
  return stream->Write(output);
}

// One connection, between the socket and the call.
class Bridge {
 public:
  Bridge(UniqueFd socket, UniqueFd stop, uint16_t port,
         grpc::ServerContext* context, PortForwards::Stream* stream)
      : socket_(std::move(socket)),
        stop_(std::move(stop)),
        port_(port),
        context_(context),
        stream_(stream) {}

  absl::Status Run() {
    PeerReader input(context_, [this] { PumpInput(); });
    const bool peer_is_there = CarryOutput() && AwaitEndOfInput();
    eventfd_write(stop_.get(), 1);
    input.End(/*heard=*/peer_is_there);
    return peer_is_there ? absl::OkStatus()
                         : absl::CancelledError("the peer is gone");
  }

 private:
  // From the call to the socket, until the peer closes its side.
  void PumpInput() {
    PortForwardInput input;
    while (stream_->Read(&input)) {
      if (input_over_.HasBeenNotified()) continue;
      if (input.end_of_data()) {
        shutdown(socket_.get(), SHUT_WR);
        input_over_.Notify();
      } else if (!WriteOrStop(socket_.get(), input.data(), {stop_.get(), -1})
                      .ok()) {
        // The program reads no more; what it still says is carried.
        input_over_.Notify();
      }
    }
    if (!input_over_.HasBeenNotified()) {
      shutdown(socket_.get(), SHUT_WR);
      input_over_.Notify();
    }
  }

  // From the socket to the call, until its end or an error, which are told.
  // False when the peer is gone.
  bool CarryOutput() {
    PortForwardOutput output;
    output.set_connected(true);
    if (!stream_->Write(output)) return false;
    std::string piece;
    for (;;) {
      pollfd polled = {socket_.get(), POLLIN, 0};
      poll(&polled, 1, kCancelPollMillis);
      if (context_->IsCancelled()) return false;
      if (polled.revents == 0) continue;
      piece.resize(kPieceBytes);
      const ssize_t count = read(socket_.get(), piece.data(), piece.size());
      if (count < 0 && (errno == EAGAIN || errno == EINTR)) continue;
      if (count < 0) {
        broken_ = true;
        return WriteError(
            absl::StrCat("the connection to port ", port_,
                         " broke: ", ErrnoStatus(errno, "read").message()),
            stream_);
      }
      if (count == 0) break;
      piece.resize(static_cast<size_t>(count));
      output.mutable_data()->swap(piece);
      if (!stream_->Write(output)) return false;
    }
    output.set_end_of_data(true);
    return stream_->Write(output);
  }

  // The program has nothing more to say; the peer may. False when it is gone.
  bool AwaitEndOfInput() {
    while (!broken_ &&
           !AwaitUntil(input_over_, Deadline::After(absl::Milliseconds(
                                        kCancelPollMillis)))) {
      if (context_->IsCancelled()) return false;
    }
    return true;
  }

  const UniqueFd socket_;
  const UniqueFd stop_;  // eventfd
  const uint16_t port_;
  grpc::ServerContext* const context_;
  PortForwards::Stream* const stream_;
  bool broken_ = false;
  absl::Notification input_over_;  // nothing more is written to the socket
};

}  // namespace

absl::Status PortForwards::Serve(const std::string& network_namespace,
                                 grpc::ServerContext* context, Stream* stream) {
  const absl::Cleanup leave = [this] { --open_; };
  if (++open_ > kMaxOpen) {
    return absl::ResourceExhaustedError(
        absl::StrCat(kMaxOpen, " connections to ports are open already"));
  }
  PortForwardInput first;
  if (!stream->Read(&first) || first.port() < 1 || first.port() > 65535) {
    return absl::InvalidArgumentError("the first message is not a port");
  }
  const uint16_t port = static_cast<uint16_t>(first.port());
  UniqueFd socket;
  const absl::Status dialed =
      RunInPodNetwork(network_namespace, [&]() -> absl::Status {
        ASSIGN_OR_RETURN(socket, DialLoopback(port, context));
        return absl::OkStatus();
      });
  if (!dialed.ok()) {
    const std::string text =
        absl::StrCat("no connection to port ", port, ": ", dialed.message());
    return WriteError(text, stream) ? absl::OkStatus()
                                    : absl::CancelledError("the peer is gone");
  }
  UniqueFd stop(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop.valid()) return ErrnoStatus(errno, "eventfd");
  return Bridge(std::move(socket), std::move(stop), port, context, stream)
      .Run();
}

}  // namespace podvisor
