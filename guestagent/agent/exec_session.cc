#include "guestagent/agent/exec_session.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "base/deadline.h"
#include "base/status_macros.h"
#include "guestagent/agent/crun_log.h"
#include "guestagent/agent/peer_reader.h"
#include "guestagent/exec_times.h"

namespace podvisor {
namespace {

constexpr size_t kPieceBytes = 64 << 10;
// How soon a cancelled call is noticed while its process writes nothing.
constexpr absl::Duration kCancelPoll = absl::Milliseconds(250);

// Carries the peer's messages to the process until the peer closes its side.
void PumpInput(ContainerRuntime::ExecStream* stream, ExecProcess* process) {
  agent::v1::ExecInput input;
  while (stream->Read(&input)) {
    switch (input.input_case()) {
      case agent::v1::ExecInput::kStdin:
        process->WriteStdin(input.stdin());
        break;
      case agent::v1::ExecInput::kCloseStdin:
        if (input.close_stdin()) process->CloseStdin();
        break;
      case agent::v1::ExecInput::kResize:
        process->Resize(input.resize().width(), input.resize().height());
        break;
      default:
        break;  // a second start, or what a newer host may say
    }
  }
  process->CloseStdin();
}

// How the carrying of a process's output ended.
enum class Ended { kComplete, kCallerGone, kTimeout };

// Carries the output of the process to the peer.
class OutputCarrier {
 public:
  OutputCarrier(ExecProcess* process, Deadline kill_at, absl::Duration drain,
                grpc::ServerContext* context,
                ContainerRuntime::ExecStream* stream)
      : process_(process),
        end_(kill_at),
        drain_(drain),
        context_(context),
        stream_(stream),
        open_{process->stdout_fd() >= 0, process->stderr_fd() >= 0} {}

  // Complete when everything is sent, or the drain time is over.
  Ended Run() {
    bool exited = false;
    for (;;) {
      if (!exited && process_->exit_code().has_value()) {
        exited = true;
        end_ = std::min(end_, Deadline::After(drain_));
      }
      if (exited && !open_[0] && !open_[1]) return Ended::kComplete;
      if (end_.IsOver()) return exited ? Ended::kComplete : Ended::kTimeout;
      pollfd polled[] = {{open_[0] ? process_->stdout_fd() : -1, POLLIN, 0},
                         {open_[1] ? process_->stderr_fd() : -1, POLLIN, 0},
                         {exited ? -1 : process_->exit_fd(), POLLIN, 0}};
      const int ready = poll(polled, 3, end_.PollMillis(kCancelPoll));
      if (ready < 0 && errno != EINTR) return Ended::kCallerGone;
      if (context_->IsCancelled()) return Ended::kCallerGone;
      for (int index = 0; index < 2 && ready > 0; ++index) {
        if (polled[index].revents != 0 && !Carry(index)) {
          return Ended::kCallerGone;
        }
      }
    }
  }

 private:
  // One piece; false when the peer is gone.
  bool Carry(int index) {
    const int fd = index == 0 ? process_->stdout_fd() : process_->stderr_fd();
    piece_.resize(kPieceBytes);
    const ssize_t count = read(fd, piece_.data(), piece_.size());
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    if (count <= 0) {  // a terminal ends with EIO
      open_[index] = false;
      return true;
    }
    piece_.resize(static_cast<size_t>(count));
    agent::v1::ExecOutput output;
    (index == 0 ? output.mutable_stdout() : output.mutable_stderr())
        ->swap(piece_);
    return stream_->Write(output);
  }

  ExecProcess* const process_;
  Deadline end_;  // of the process's time, then of its output's
  const absl::Duration drain_;
  grpc::ServerContext* const context_;
  ContainerRuntime::ExecStream* const stream_;
  bool open_[2];
  std::string piece_;
};

// Whoever hears of the end finds it dead and reaped.
void KillAndAwait(ExecProcess* process) {
  process->Kill();
  pollfd exit = {process->exit_fd(), POLLIN, 0};
  const Deadline end = Deadline::After(kExecKillTime);
  while (poll(&exit, 1, end.PollMillis()) < 0 && errno == EINTR) {
  }
}

// What a shell would do with a command that cannot be executed.
absl::Status ReportFailedCommand(const absl::Status& failure,
                                 const ExecRequest& request,
                                 ContainerRuntime::ExecStream* stream) {
  const int code = ExitCodeOfFailedCommand(failure.message());
  if (code == 0) return failure;
  agent::v1::ExecOutput text;
  (request.tty ? text.mutable_stdout() : text.mutable_stderr())
      ->assign(std::string(failure.message()) + "\n");
  agent::v1::ExecOutput exit;
  exit.set_exit_code(code);
  if (!stream->Write(text) || !stream->Write(exit)) {
    return absl::CancelledError("the caller is gone");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status RunExecSession(const ExecRequest& request, const ExecTimes& times,
                            const CrunDriver& crun, ChildReaper* reaper,
                            grpc::ServerContext* context,
                            ContainerRuntime::ExecStream* stream) {
  const Deadline kill_at = Deadline::After(times.timeout);
  absl::StatusOr<std::unique_ptr<ExecProcess>> started =
      ExecProcess::Start(request, crun, reaper);
  if (!started.ok()) {
    return ReportFailedCommand(started.status(), request, stream);
  }
  ExecProcess& process = **started;
  PeerReader input(context, [&] { PumpInput(stream, &process); });
  Ended ended =
      OutputCarrier(&process, kill_at, times.drain, context, stream).Run();
  if (ended == Ended::kComplete) {
    agent::v1::ExecOutput exit;
    exit.set_exit_code(*process.exit_code());
    if (!stream->Write(exit)) ended = Ended::kCallerGone;
  } else {
    KillAndAwait(&process);
  }
  process.Stop();
  input.End(/*heard=*/ended != Ended::kCallerGone);
  switch (ended) {
    case Ended::kComplete:
      return absl::OkStatus();
    case Ended::kTimeout:
      return absl::DeadlineExceededError("the command took too long");
    case Ended::kCallerGone:
      break;
  }
  return absl::CancelledError("the call was cancelled");
}

}  // namespace podvisor
