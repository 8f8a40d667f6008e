#include "guestagent/agent/attach_session.h"

#include <errno.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/deadline.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "guestagent/agent/peer_reader.h"

namespace podvisor {
namespace {

using agent::v1::AttachInput;
using agent::v1::AttachOutput;

// How soon a cancelled call, or an exit without an end of output, is noticed.
constexpr absl::Duration kPoll = absl::Milliseconds(250);
constexpr absl::Duration kDrain = absl::Seconds(10);

// Carries the peer's messages to the container until the peer closes its side.
void PumpInput(ContainerRuntime::AttachStream* stream, bool with_stdin,
               ContainerInput* container, int stop_fd) {
  AttachInput input;
  bool done = !with_stdin;
  while (stream->Read(&input)) {
    switch (input.input_case()) {
      case AttachInput::kStdin:
        if (!done) container->Write(input.stdin(), stop_fd);
        break;
      case AttachInput::kCloseStdin:
        if (!done && input.close_stdin()) {
          done = true;
          container->PeerDone();
        }
        break;
      case AttachInput::kResize:
        container->Resize(input.resize().width(), input.resize().height());
        break;
      default:
        break;  // a second start, or what a newer host may say
    }
  }
  if (!done) container->PeerDone();
}

// Sends output until there is no more of it. OK: the container has exited.
// Cancelled: the peer is gone. Else why the peer is given up.
absl::Status CarryOutput(const ContainerEntry& entry, OutputTap* tap,
                         grpc::ServerContext* context,
                         ContainerRuntime::AttachStream* stream) {
  std::optional<Deadline> drain_end;
  bool output_ended = false;
  for (;;) {
    if (context->IsCancelled()) return absl::CancelledError("the peer is gone");
    if (output_ended) {
      if (entry.AwaitExit(Deadline::After(kPoll))) return absl::OkStatus();
      continue;
    }
    if (!drain_end.has_value() && entry.AwaitExit(Deadline::Now())) {
      drain_end = Deadline::After(kDrain);
    }
    if (drain_end.has_value() && drain_end->IsOver()) return absl::OkStatus();
    absl::StatusOr<OutputTap::Piece> piece = tap->Next(Deadline::After(kPoll));
    if (absl::IsDeadlineExceeded(piece.status())) continue;
    output_ended = absl::IsOutOfRange(piece.status());
    if (output_ended) continue;
    RETURN_IF_ERROR(piece.status());
    AttachOutput output;
    (piece->stream == 0 ? output.mutable_stdout() : output.mutable_stderr())
        ->swap(piece->data);
    if (!stream->Write(output)) return absl::CancelledError("the peer is gone");
  }
}

// The last message. False when there is nobody to hear it.
bool SayGoodbye(const absl::Status& carried, const ContainerEntry& entry,
                ContainerRuntime::AttachStream* stream) {
  if (absl::IsCancelled(carried)) return false;
  AttachOutput last;
  const ContainerEntry::View view = entry.Look();
  if (carried.ok() || (absl::IsNotFound(carried) &&
                       view.state == ContainerEntry::State::EXITED)) {
    last.set_exit_code(view.exit.exit_code());
  } else {
    last.set_error(std::string(carried.message()));
  }
  return stream->Write(last);
}

absl::Status CheckAttachable(const ContainerEntry::View& view,
                             bool with_stdin) {
  if (view.output == nullptr || view.input == nullptr) {
    return absl::FailedPreconditionError("the container is being created");
  }
  if (view.state == ContainerEntry::State::EXITED) {
    return absl::FailedPreconditionError("the container has exited");
  }
  if (with_stdin && !view.input->accepts()) {
    return absl::FailedPreconditionError(
        "the container has no standard input, or it has ended");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status RunAttachSession(const ContainerEntry& entry, bool with_stdin,
                              grpc::ServerContext* context,
                              ContainerRuntime::AttachStream* stream) {
  const ContainerEntry::View view = entry.Look();
  RETURN_IF_ERROR(CheckAttachable(view, with_stdin));
  const UniqueFd stop(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop.valid()) return ErrnoStatus(errno, "eventfd");
  ASSIGN_OR_RETURN(const std::shared_ptr<OutputTap> tap,
                   view.output->OpenTap());
  PeerReader input(context, [&] {
    PumpInput(stream, with_stdin, view.input.get(), stop.get());
  });
  AttachOutput attached;
  attached.set_attached(true);
  const absl::Status carried =
      stream->Write(attached) ? CarryOutput(entry, tap.get(), context, stream)
                              : absl::CancelledError("the peer is gone");
  view.output->CloseTap(tap);
  const bool told = SayGoodbye(carried, entry, stream);
  eventfd_write(stop.get(), 1);
  input.End(/*heard=*/told);
  return told ? absl::OkStatus() : absl::CancelledError("the peer is gone");
}

}  // namespace podvisor
