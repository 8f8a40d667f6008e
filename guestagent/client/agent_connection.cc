#include "guestagent/client/agent_connection.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <limits>
#include <utility>

#include "base/errno_status.h"
#include "base/status_macros.h"
#include "grpcpp/create_channel_posix.h"
#include "grpcpp/support/channel_arguments.h"
#include "guestagent/client/random_bytes.h"
#include "guestagent/client/reply_check.h"
#include "guestagent/client/rpc_status.h"

namespace podvisor {
namespace {

constexpr uint32_t kProtocolVersion = 1;
constexpr size_t kEntropyBytes = 32;
constexpr int kMaxMetadataBytes = 8 << 10;

absl::Status DisconnectedError() {
  return absl::CancelledError("disconnected from the agent");
}

int ToMilliseconds(absl::Duration duration) {
  return static_cast<int>(std::clamp<int64_t>(
      absl::ToInt64Milliseconds(duration), 1, std::numeric_limits<int>::max()));
}

grpc::ChannelArguments ChannelArgumentsOf(const AgentClientOptions& options) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS,
                   ToMilliseconds(options.keepalive_time));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS,
                   ToMilliseconds(options.keepalive_timeout));
  // Without a call nobody may be polling; the ping's answer would lie unread
  // and a healthy session be given up (seen in a process without a server).
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 0);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadataBytes);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetMaxReceiveMessageSize(options.max_reply_bytes);
  return arguments;
}

}  // namespace

// Holds off the destructor while a call is on its way to being registered.
class AgentConnection::BeginScope {
 public:
  explicit BeginScope(AgentConnection* connection) : connection_(connection) {
    absl::MutexLock lock(&connection_->mutex_);
    ++connection_->beginning_;
  }
  ~BeginScope() {
    absl::MutexLock lock(&connection_->mutex_);
    --connection_->beginning_;
  }

 private:
  AgentConnection* connection_;
};

bool AgentConnection::Session::IsDead() const {
  pollfd polled = {socket.get(), POLLRDHUP, 0};
  return poll(&polled, 1, 0) != 0;
}

void AgentConnection::Session::Kill() const {
  shutdown(socket.get(), SHUT_RDWR);
}

AgentConnection::AgentConnection(std::string socket_path,
                                 const AgentSecret& secret,
                                 const AgentClientOptions& options,
                                 Clock* clock)
    : socket_path_(std::move(socket_path)),
      secret_(secret),
      options_(options),
      clock_(clock),
      cancel_(eventfd(0, EFD_CLOEXEC)) {}

AgentConnection::~AgentConnection() {
  Disconnect();
  absl::MutexLock lock(&mutex_);
  const auto idle = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return beginning_ == 0 && calls_.empty();
  };
  mutex_.Await(absl::Condition(&idle));
}

absl::StatusOr<std::unique_ptr<AgentConnection::Call>> AgentConnection::Begin(
    absl::Time deadline) {
  const BeginScope scope(this);
  const bool is_stream = deadline == absl::InfiniteFuture();
  const absl::StatusOr<std::shared_ptr<Session>> session = CurrentSession(
      is_stream ? clock_->Now() + options_.connect_timeout : deadline);
  if (session.ok()) return std::make_unique<Call>(this, *session, deadline);
  if (is_stream && absl::IsDeadlineExceeded(session.status())) {
    return absl::UnavailableError(session.status().message());
  }
  return session.status();
}

void AgentConnection::Disconnect() {
  absl::MutexLock lock(&mutex_);
  if (disconnected_) return;
  disconnected_ = true;
  eventfd_write(cancel_.get(), 1);
  for (grpc::ClientContext* call : calls_) call->TryCancel();
  if (session_ != nullptr) session_->Kill();
  session_ = nullptr;
}

agent::v1::HelloRequest AgentConnection::MakeHello() {
  std::string entropy(kEntropyBytes, '\0');
  FillRandom(entropy.data(), entropy.size());
  agent::v1::HelloRequest request;
  request.set_protocol_version(kProtocolVersion);
  request.set_entropy(std::move(entropy));
  request.set_wall_clock_unix_nanos(absl::ToUnixNanos(clock_->Now()));
  return request;
}

absl::StatusOr<std::shared_ptr<AgentConnection::Session>>
AgentConnection::CurrentSession(absl::Time deadline) {
  {
    absl::MutexLock lock(&mutex_);
    // One thread connects at a time; the others wait for what it gets, and
    // one of them takes over if it fails.
    const auto settled = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
      return !connecting_ || disconnected_;
    };
    if (!mutex_.AwaitWithDeadline(absl::Condition(&settled), deadline)) {
      return absl::DeadlineExceededError("agent is not connected yet");
    }
    if (disconnected_) return DisconnectedError();
    if (session_ != nullptr && !session_->IsDead()) return session_;
    if (session_ != nullptr) session_->Kill();
    session_ = nullptr;
    connecting_ = true;
  }
  absl::StatusOr<std::shared_ptr<Session>> opened = OpenSession(deadline);
  absl::MutexLock lock(&mutex_);
  connecting_ = false;
  if (disconnected_) {
    if (opened.ok()) (*opened)->Kill();
    return DisconnectedError();
  }
  if (opened.ok()) session_ = *opened;
  return opened;
}

absl::StatusOr<std::shared_ptr<AgentConnection::Session>>
AgentConnection::OpenSession(absl::Time deadline) {
  HandshakeOptions handshake = options_.handshake;
  handshake.cancel_fd = cancel_.get();
  ASSIGN_OR_RETURN(
      AgentChannel channel,
      OpenAgentChannel(socket_path_, secret_, deadline, handshake, *clock_));
  auto session = std::make_shared<Session>();
  session->socket.Reset(fcntl(channel.fd.get(), F_DUPFD_CLOEXEC, 0));
  if (!session->socket.valid()) return ErrnoStatus(errno, "fcntl F_DUPFD");
  session->stub =
      agent::v1::Agent::NewStub(grpc::CreateCustomInsecureChannelFromFd(
          "podvisor-agent", channel.fd.Release(),
          ChannelArgumentsOf(options_)));

  agent::v1::HelloResponse reply;
  Call call(this, session, deadline);
  absl::Status status =
      call.Finish(call.stub().Hello(call.context(), MakeHello(), &reply));
  if (status.ok()) status = CheckHello(&reply);
  if (!status.ok()) {
    session->Kill();
    return Annotate(status, "hello");
  }
  return session;
}

void AgentConnection::Drop(const std::shared_ptr<Session>& session) {
  absl::MutexLock lock(&mutex_);
  session->Kill();
  if (session_ == session) session_ = nullptr;
}

void AgentConnection::Register(grpc::ClientContext* context) {
  absl::MutexLock lock(&mutex_);
  calls_.insert(context);
  if (disconnected_) context->TryCancel();
}

void AgentConnection::Unregister(grpc::ClientContext* context) {
  absl::MutexLock lock(&mutex_);
  calls_.erase(context);
}

bool AgentConnection::disconnected() const {
  absl::MutexLock lock(&mutex_);
  return disconnected_;
}

AgentConnection::Call::Call(AgentConnection* connection,
                            std::shared_ptr<Session> session,
                            absl::Time deadline)
    : connection_(connection), session_(std::move(session)) {
  if (deadline != absl::InfiniteFuture()) {
    context_.set_deadline(absl::ToChronoTime(deadline));
  }
  connection_->Register(&context_);
}

AgentConnection::Call::~Call() { connection_->Unregister(&context_); }

absl::Status AgentConnection::Call::Finish(const grpc::Status& status) {
  const absl::Status result = FromRpcStatus(status);
  if (result.ok()) return result;
  if (connection_->disconnected()) return DisconnectedError();
  if (absl::IsUnavailable(result)) connection_->Drop(session_);
  return result;
}

}  // namespace podvisor
