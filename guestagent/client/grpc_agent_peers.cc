// The streams of GrpcAgentClient that have a peer at their other end. Each uses
// its caller's thread for what the guest sends and one more for what the peer
// sends, so that neither direction waits for the other.

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clean_text.h"
#include "base/status_macros.h"
#include "grpcpp/support/sync_stream.h"
#include "guestagent/client/grpc_agent_client.h"

namespace podvisor {
namespace {

using agent::v1::AttachInput;
using agent::v1::AttachOutput;
using agent::v1::ExecInput;
using agent::v1::ExecOutput;
using agent::v1::PortForwardInput;
using agent::v1::PortForwardOutput;
using Kind = StreamPeer::Input::Kind;

// For ExecInput and AttachInput, which are alike.
template <typename Message>
void FillCommandInput(StreamPeer::Input input, Message* message) {
  if (input.kind == Kind::kData) {
    message->set_stdin(std::move(input.data));
  } else if (input.kind == Kind::kResize) {
    message->mutable_resize()->set_width(input.width);
    message->mutable_resize()->set_height(input.height);
  } else {
    message->set_close_stdin(true);
  }
}

void Fill(StreamPeer::Input input, ExecInput* message) {
  FillCommandInput(std::move(input), message);
}

void Fill(StreamPeer::Input input, AttachInput* message) {
  FillCommandInput(std::move(input), message);
}

void Fill(StreamPeer::Input input, PortForwardInput* message) {
  if (input.kind == Kind::kData) {
    message->set_data(std::move(input.data));
  } else {
    message->set_end_of_data(true);
  }
}

// Carries what the peer does until it is gone or the call ends.
template <typename Input, typename Stream>
void CarryInput(StreamPeer* peer, Stream* stream) {
  for (;;) {
    StreamPeer::Input input = peer->NextInput();
    if (input.kind == Kind::kStopped || input.kind == Kind::kGone) return;
    Input message;
    Fill(std::move(input), &message);
    if (!stream->Write(message)) return;
  }
}

// Ends a call when its peer leaves, whatever the call waits for: a guest need
// not even take the first message. To be made before the call begins.
class PeerWatch {
 public:
  // Borrows both.
  PeerWatch(StreamPeer* peer, grpc::ClientContext* context) : peer_(peer) {
    peer_->OnGone([this, context] {
      left_ = true;
      context->TryCancel();
    });
  }
  ~PeerWatch() { peer_->OnGone(nullptr); }
  PeerWatch(const PeerWatch&) = delete;
  PeerWatch& operator=(const PeerWatch&) = delete;

  bool left() const { return left_; }

 private:
  StreamPeer* const peer_;
  std::atomic<bool> left_ = false;
};

// Serves `stream` after its first message: hands each message of the guest to
// `take` until that returns a result, or the guest ends the call; then the
// result is the call's own error, or nullopt without one.
template <typename Input, typename Output, typename Stream, typename Take>
absl::StatusOr<std::optional<int>> ServeStream(AgentConnection::Call* call,
                                               Stream* stream, StreamPeer* peer,
                                               const PeerWatch& watch,
                                               const Take& take) {
  std::thread input([&] { CarryInput<Input>(peer, stream); });
  absl::StatusOr<std::optional<int>> result = std::optional<int>();
  bool over = false;
  Output output;
  while (!over && stream->Read(&output)) {
    result = take(output);
    over = !result.ok() || result->has_value();
  }
  peer->StopInput();
  // The last message was read, or nobody wants it. Wakes an input that the
  // guest does not take. Not for a call that has ended by itself: its writes
  // fail by themselves, and a cancelled one would lose its status.
  if (over) call->context()->TryCancel();
  input.join();
  const grpc::Status finished = stream->Finish();
  if (over) return result;
  // Our own doing, and no reason to give the session up, which others use.
  if (watch.left()) return absl::CancelledError("the peer has left");
  RETURN_IF_ERROR(call->Finish(finished));
  return result;
}

absl::StatusOr<std::optional<int>> TakeExitCode(int exit_code) {
  if (exit_code < 0 || exit_code > 255) {
    return absl::DataLossError("agent's reply: impossible exit code");
  }
  return exit_code;
}

absl::StatusOr<int> ExitCodeOr(absl::StatusOr<std::optional<int>> result) {
  RETURN_IF_ERROR(result.status());
  if (result->has_value()) return **result;
  return absl::DataLossError("agent ended a stream without an exit code");
}

}  // namespace

absl::StatusOr<int> GrpcAgentClient::Exec(const GuestExec& request,
                                          StreamPeer* peer) {
  ASSIGN_OR_RETURN(const std::unique_ptr<AgentConnection::Call> call,
                   connection_.Begin(absl::InfiniteFuture()));
  const PeerWatch watch(peer, call->context());
  const auto stream = call->stub().Exec(call->context());
  ExecInput first;
  ExecInput::Start* start = first.mutable_start();
  start->set_container_id(request.container.value());
  *start->mutable_args() = {request.args.begin(), request.args.end()};
  start->set_tty(request.tty);
  start->set_stdin(request.with_stdin);
  start->set_drain_timeout_nanos(
      std::max<int64_t>(1, absl::ToInt64Nanoseconds(request.drain_timeout)));
  stream->Write(first);
  const auto take =
      [&](const ExecOutput& output) -> absl::StatusOr<std::optional<int>> {
    if (output.has_exit_code()) return TakeExitCode(output.exit_code());
    if (output.has_stdout()) {
      RETURN_IF_ERROR(peer->TakeOutput(false, output.stdout()));
    } else if (output.has_stderr()) {
      RETURN_IF_ERROR(peer->TakeOutput(true, output.stderr()));
    }
    return std::nullopt;
  };
  return ExitCodeOr(ServeStream<ExecInput, ExecOutput>(call.get(), stream.get(),
                                                       peer, watch, take));
}

absl::StatusOr<int> GrpcAgentClient::Attach(const ContainerId& id,
                                            bool with_stdin, StreamPeer* peer) {
  ASSIGN_OR_RETURN(const std::unique_ptr<AgentConnection::Call> call,
                   connection_.Begin(absl::InfiniteFuture()));
  const PeerWatch watch(peer, call->context());
  const auto stream = call->stub().Attach(call->context());
  AttachInput first;
  first.mutable_start()->set_container_id(id.value());
  first.mutable_start()->set_stdin(with_stdin);
  stream->Write(first);
  const auto take =
      [&](const AttachOutput& output) -> absl::StatusOr<std::optional<int>> {
    if (output.has_exit_code()) return TakeExitCode(output.exit_code());
    if (output.has_error()) {
      return absl::ResourceExhaustedError(CleanText(output.error()));
    }
    if (output.has_stdout()) {
      RETURN_IF_ERROR(peer->TakeOutput(false, output.stdout()));
    } else if (output.has_stderr()) {
      RETURN_IF_ERROR(peer->TakeOutput(true, output.stderr()));
    }
    return std::nullopt;
  };
  return ExitCodeOr(ServeStream<AttachInput, AttachOutput>(
      call.get(), stream.get(), peer, watch, take));
}

absl::Status GrpcAgentClient::PortForward(uint16_t port, StreamPeer* peer) {
  ASSIGN_OR_RETURN(const std::unique_ptr<AgentConnection::Call> call,
                   connection_.Begin(absl::InfiniteFuture()));
  const PeerWatch watch(peer, call->context());
  const auto stream = call->stub().PortForward(call->context());
  PortForwardInput first;
  first.set_port(port);
  stream->Write(first);
  const auto take = [&](const PortForwardOutput& output)
      -> absl::StatusOr<std::optional<int>> {
    if (output.has_error()) {
      return absl::FailedPreconditionError(
          absl::StrCat("port ", port, ": ", CleanText(output.error())));
    }
    if (output.has_end_of_data()) {
      RETURN_IF_ERROR(peer->TakeOutput(false, ""));
    } else if (!output.data().empty()) {
      RETURN_IF_ERROR(peer->TakeOutput(false, output.data()));
    }
    return std::nullopt;
  };
  return ServeStream<PortForwardInput, PortForwardOutput>(
             call.get(), stream.get(), peer, watch, take)
      .status();
}

}  // namespace podvisor
