#include "cri/streaming/stream_server.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <map>
#include <optional>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "cri/streaming/byte_stream.h"
#include "cri/streaming/channel_connection.h"
#include "cri/streaming/channel_forward_stream.h"
#include "cri/streaming/channel_messages.h"
#include "cri/streaming/command_stream.h"
#include "cri/streaming/http_upgrade.h"
#include "cri/streaming/port_forward_stream.h"
#include "cri/streaming/spdy_channels.h"
#include "cri/streaming/spdy_connection.h"
#include "cri/streaming/stream_tokens.h"
#include "cri/streaming/websocket_channels.h"
#include "cri/streaming/websocket_tunnel.h"

namespace podvisor {
namespace {

constexpr int kBacklog = 128;
constexpr absl::Duration kRefusalLinger = absl::Seconds(2);
// For clients to hear that the server ends.
constexpr absl::Duration kGoodbye = absl::Seconds(2);
// After a failed accept(), which does not get better at once.
constexpr int kAcceptPauseMillis = 100;

StreamKind KindOf(const StreamRequest& request) {
  if (std::holds_alternative<ExecStreamRequest>(request)) {
    return StreamKind::kExec;
  }
  return std::holds_alternative<AttachStreamRequest>(request)
             ? StreamKind::kAttach
             : StreamKind::kPortForward;
}

// Of a port-forward: one of before the tunnel, whose ports are in the request.
bool IsChannelForward(const UpgradeDecision& upgrade) {
  return upgrade.transport == StreamTransport::kWebSocket &&
         upgrade.protocol != kSpdyTunnel;
}

// The text of the address that `socket` is bound to.
absl::StatusOr<std::string> BoundAddress(int socket) {
  sockaddr_storage address = {};
  socklen_t size = sizeof(address);
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  char host[NI_MAXHOST];
  char port[NI_MAXSERV];
  if (getsockname(socket, any, &size) != 0) {
    return ErrnoStatus(errno, "getsockname");
  }
  if (getnameinfo(any, size, host, sizeof(host), port, sizeof(port),
                  NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return absl::InternalError("getnameinfo");
  }
  return address.ss_family == AF_INET6 ? absl::StrCat("[", host, "]:", port)
                                       : absl::StrCat(host, ":", port);
}

absl::StatusOr<UniqueFd> ListenOn(const std::string& address) {
  const size_t colon = address.rfind(':');
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  addrinfo hints = {};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (colon == std::string::npos ||
      getaddrinfo(host.c_str(), address.c_str() + colon + 1, &hints, &found) !=
          0) {
    return absl::InvalidArgumentError(
        absl::StrCat("streaming: \"", address, "\" is not an address"));
  }
  UniqueFd listener(
      socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  absl::Status status;
  if (!listener.valid() ||
      setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) !=
          0 ||
      bind(listener.get(), found->ai_addr, found->ai_addrlen) != 0 ||
      listen(listener.get(), kBacklog) != 0) {
    status = absl::UnavailableError(
        absl::StrCat("streaming: cannot listen on ", address, ": ",
                     ErrnoStatus(errno, "socket").message()));
  }
  freeaddrinfo(found);
  RETURN_IF_ERROR(status);
  return listener;
}

class ThreadedServer final : public StreamServer {
 public:
  ThreadedServer(const StreamServerOptions& options, StreamBackend* backend,
                 Clock* clock)
      : options_(options),
        backend_(backend),
        clock_(clock),
        tokens_(clock),
        wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

  ~ThreadedServer() override {
    {
      absl::MutexLock lock(&mutex_);
      stopping_ = true;
      for (auto& [id, client] : clients_) client.bytes->StopReading();
    }
    eventfd_write(wake_.get(), 1);
    if (acceptor_.joinable()) acceptor_.join();
    const auto over = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return clients_.size() == finished_.size();
    };
    {
      absl::MutexLock lock(&mutex_);
      // A client that is told nothing takes its command for a success.
      if (!mutex_.AwaitWithTimeout(absl::Condition(&over), kGoodbye)) {
        for (auto& [id, client] : clients_) client.bytes->Cancel();
      }
      mutex_.Await(absl::Condition(&over));
    }
    JoinFinished();
  }

  absl::Status Listen() {
    if (!wake_.valid()) return absl::ResourceExhaustedError("no descriptor");
    ASSIGN_OR_RETURN(listener_, ListenOn(options_.address));
    ASSIGN_OR_RETURN(address_, BoundAddress(listener_.get()));
    acceptor_ = std::thread([this] { Accept(); });
    return absl::OkStatus();
  }

  std::string address() const override { return address_; }

  absl::StatusOr<std::string> UrlFor(StreamRequest request) override {
    const StreamKind kind = KindOf(request);
    ASSIGN_OR_RETURN(const std::string token, tokens_.Add(std::move(request)));
    return absl::StrCat("http://", address_, StreamPath(kind, token));
  }

 private:
  struct Client {
    std::unique_ptr<ByteStream> bytes;
    std::thread thread;
  };

  void Accept() {
    for (;;) {
      pollfd polled[] = {{listener_.get(), POLLIN, 0},
                         {wake_.get(), POLLIN, 0}};
      poll(polled, 2, -1);
      if (polled[1].revents != 0) {
        eventfd_t count = 0;
        eventfd_read(wake_.get(), &count);
        JoinFinished();
        absl::MutexLock lock(&mutex_);
        if (stopping_) return;
      }
      UniqueFd socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (socket.valid()) {
        Admit(std::move(socket));
      } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) {
        poll(nullptr, 0, kAcceptPauseMillis);
      }
    }
  }

  void Admit(UniqueFd socket) {
    const int on = 1;
    setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    absl::MutexLock lock(&mutex_);
    // Closes it: the client sees that nobody serves it now.
    if (stopping_ || clients_.size() >= options_.max_connections) return;
    const uint64_t id = ++last_client_;
    Client& client = clients_[id];
    client.bytes =
        std::make_unique<ByteStream>(std::move(socket), options_.idle, clock_);
    client.thread = std::thread([this, id, bytes = client.bytes.get()] {
      ServeClient(bytes);
      absl::MutexLock done(&mutex_);
      finished_.push_back(id);
      eventfd_write(wake_.get(), 1);
    });
  }

  void JoinFinished() {
    std::vector<Client> over;
    {
      absl::MutexLock lock(&mutex_);
      for (const uint64_t id : finished_) {
        over.push_back(std::move(clients_.at(id)));
        clients_.erase(id);
      }
      finished_.clear();
    }
    for (Client& client : over) client.thread.join();
  }

  // Until the connection is done with; the caller closes it.
  void ServeClient(ByteStream* bytes) {
    std::string begin;
    const std::optional<HttpHead> head = ReadHead(bytes, &begin);
    if (!head.has_value()) {
      return Refuse(bytes, Refusal(400, "not a request that is served here"));
    }
    const std::optional<StreamPathParts> path = ParseStreamPath(head->target);
    if (!path.has_value()) return Refuse(bytes, Refusal(404, "no such stream"));
    const UpgradeDecision decision = DecideUpgrade(*head, path->kind);
    std::optional<StreamRequest> request = tokens_.Take(path->token);
    if (!request.has_value() || KindOf(*request) != path->kind) {
      return Refuse(bytes, Refusal(404, "no such stream"));
    }
    if (decision.http_status != 101) return Refuse(bytes, decision);
    const auto* const forward = std::get_if<PortForwardRequest>(&*request);
    if (forward != nullptr && forward->ports.empty() &&
        IsChannelForward(decision)) {
      return Refuse(bytes, Refusal(400, "PortForward was asked for no port"));
    }
    if (!bytes->Write(UpgradeAnswer(decision)).ok()) return;
    Serve(bytes, std::move(begin), *request, decision);
  }

  std::optional<HttpHead> ReadHead(ByteStream* bytes, std::string* rest) {
    const absl::Time end = bytes->Now() + options_.request;
    std::string read;
    char piece[4096];
    for (;;) {
      const absl::StatusOr<size_t> count =
          bytes->Read(piece, sizeof(piece), end);
      if (!count.ok()) return std::nullopt;
      read.append(piece, *count);
      HttpHeadResult result = ParseHttpHead(read);
      if (result.state == HttpHeadResult::State::kIncomplete) continue;
      if (result.state == HttpHeadResult::State::kBad) return std::nullopt;
      *rest = read.substr(result.head_bytes);
      return std::move(result.head);
    }
  }

  void Refuse(ByteStream* bytes, const UpgradeDecision& decision) {
    if (bytes->Write(UpgradeAnswer(decision)).ok()) {
      bytes->Linger(kRefusalLinger);
    }
  }

  void Serve(ByteStream* bytes, std::string begin, const StreamRequest& request,
             const UpgradeDecision& upgrade) {
    if (const auto* exec = std::get_if<ExecStreamRequest>(&request)) {
      ServeChannels(
          bytes, std::move(begin), exec->streams, upgrade,
          [&](StreamPeer* peer) { return backend_->Exec(*exec, peer); });
    } else if (const auto* attach =
                   std::get_if<AttachStreamRequest>(&request)) {
      ServeChannels(
          bytes, std::move(begin), attach->streams, upgrade,
          [&](StreamPeer* peer) { return backend_->Attach(*attach, peer); });
    } else if (const auto* forward =
                   std::get_if<PortForwardRequest>(&request)) {
      ServeForwards(bytes, std::move(begin), *forward, upgrade);
    }
  }

  void ServeChannels(ByteStream* bytes, std::string begin,
                     const ProcessStreams& streams,
                     const UpgradeDecision& upgrade, const CommandRunner& run) {
    const ChannelProtocol protocol = ChannelProtocolOf(upgrade.protocol);
    if (upgrade.transport == StreamTransport::kWebSocket) {
      WebSocketChannels channels(bytes, std::move(begin), protocol, streams);
      if (!channels.Greet().ok()) return;
      ServeCommand(bytes, &channels, protocol.version, options_.creation, run);
    } else {
      SpdyChannels channels(bytes, std::move(begin), streams);
      ServeCommand(bytes, &channels, protocol.version, options_.creation, run);
    }
  }

  void ServeForwards(ByteStream* bytes, std::string begin,
                     const PortForwardRequest& request,
                     const UpgradeDecision& upgrade) {
    const PortDialer dial = [&](uint16_t port, StreamPeer* peer) {
      return backend_->PortForward(request.pod, port, peer);
    };
    if (IsChannelForward(upgrade)) {
      ChannelConnection connection(bytes, std::move(begin),
                                   ChannelProtocolOf(upgrade.protocol));
      ServeChannelForward(bytes, &connection, request.ports, dial);
    } else if (upgrade.transport == StreamTransport::kWebSocket) {
      WebSocketTunnel tunnel(bytes, std::move(begin));
      SpdyConnection connection(&tunnel, "");
      ServePortForward(bytes, &connection, options_.creation, dial);
    } else {
      SpdyConnection connection(bytes, std::move(begin));
      ServePortForward(bytes, &connection, options_.creation, dial);
    }
  }

  const StreamServerOptions options_;
  StreamBackend* const backend_;
  Clock* const clock_;
  StreamTokens tokens_;
  const UniqueFd wake_;  // the accepting thread: something has finished
  UniqueFd listener_;
  std::string address_;
  std::thread acceptor_;

  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t last_client_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<uint64_t, Client> clients_ ABSL_GUARDED_BY(mutex_);
  std::vector<uint64_t> finished_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

absl::StatusOr<std::unique_ptr<StreamServer>> StreamServer::Start(
    const StreamServerOptions& options, StreamBackend* backend, Clock* clock) {
  auto server = std::make_unique<ThreadedServer>(options, backend, clock);
  RETURN_IF_ERROR(server->Listen());
  return server;
}

}  // namespace podvisor
