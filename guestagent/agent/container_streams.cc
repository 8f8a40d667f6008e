#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "base/deadline.h"
#include "base/file.h"
#include "base/ids.h"
#include "base/status_macros.h"
#include "guestagent/agent/attach_session.h"
#include "guestagent/agent/container_state.h"
#include "guestagent/agent/exec_process.h"
#include "guestagent/agent/exec_session.h"
#include "guestagent/agent/oci_spec.h"

namespace podvisor {
namespace {

// A peer that has everything has this long to say so, or to close its side,
// before the call is cancelled to free its threads.
constexpr absl::Duration kGoodbyeTimeout = absl::Seconds(10);
constexpr absl::Duration kDefaultDrain = absl::Seconds(10);
constexpr absl::Duration kMaxDrain = absl::Minutes(10);
constexpr size_t kMaxConfigBytes = 8 << 20;

// Takes acknowledgements until the peer closes its side or has everything.
absl::Status ReadAcknowledgements(ContainerRuntime::OutputStream* stream,
                                  ContainerOutput* output, uint64_t session) {
  agent::v1::OutputRequest request;
  while (stream->Read(&request)) {
    RETURN_IF_ERROR(output->Acknowledge(session, request.stdout_offset(),
                                        request.stderr_offset()));
    if (output->IsComplete()) break;
  }
  return absl::OkStatus();
}

// Sends chunks until both streams have ended (OK) or the session has.
absl::Status SendChunks(ContainerRuntime::OutputStream* stream,
                        ContainerOutput* output, uint64_t session) {
  for (;;) {
    ASSIGN_OR_RETURN(const std::optional<agent::v1::OutputChunk> chunk,
                     output->Next(session));
    if (!chunk.has_value()) return absl::OkStatus();
    if (!stream->Write(*chunk)) {
      return absl::CancelledError("the reader is gone");
    }
  }
}

}  // namespace

absl::Status ContainerRuntime::StreamOutput(grpc::ServerContext* context,
                                            OutputStream* stream) {
  agent::v1::OutputRequest first;
  if (!stream->Read(&first)) {
    return absl::InvalidArgumentError("no container is named");
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<ContainerEntry> entry,
                   state_->Find(first.container_id()));
  const std::shared_ptr<ContainerOutput> output = entry->Look().output;
  if (output == nullptr) {
    return absl::FailedPreconditionError("the container is being created");
  }
  ASSIGN_OR_RETURN(const uint64_t session,
                   output->Begin(first.stdout_offset(), first.stderr_offset(),
                                 [context] { context->TryCancel(); }));

  absl::Status read_status;
  absl::Notification read_done;
  std::thread reader([&] {
    read_status = ReadAcknowledgements(stream, output.get(), session);
    // A peer that leaves early ends the session; one that is done has ended it.
    if (!output->IsComplete()) output->End(session);
    read_done.Notify();
  });
  absl::Status status = SendChunks(stream, output.get(), session);
  if (!status.ok() ||
      !AwaitUntil(read_done, Deadline::After(kGoodbyeTimeout))) {
    context->TryCancel();
  }
  reader.join();
  // From here on nobody may cancel `context`.
  output->End(session);
  return read_status.ok() ? status : read_status;
}

absl::Status ContainerRuntime::Exec(grpc::ServerContext* context,
                                    ExecStream* stream) {
  agent::v1::ExecInput first;
  if (!stream->Read(&first) || !first.has_start()) {
    return absl::InvalidArgumentError("the first message is not a start");
  }
  const agent::v1::ExecInput::Start& start = first.start();
  ASSIGN_OR_RETURN(const std::shared_ptr<ContainerEntry> entry,
                   state_->Find(start.container_id()));
  const ContainerEntry::View view = entry->Look();
  if (view.state != agent::v1::ContainerState::RUNNING) {
    return absl::FailedPreconditionError("the container does not run");
  }
  ASSIGN_OR_RETURN(const std::string config,
                   ReadFile(view.bundle_dir + "/config.json", kMaxConfigBytes));
  ASSIGN_OR_RETURN(
      const std::string process,
      BuildExecProcess(config, {start.args().begin(), start.args().end()},
                       start.tty()));
  const ExecRequest request = {
      .container_id = entry->id(),
      .process_json = process,
      .work_prefix =
          absl::StrCat(view.bundle_dir, "/e", RandomHexId().substr(0, 8)),
      .tty = start.tty(),
      .with_stdin = start.stdin(),
      .oom_score_adj = view.oom_score_adj};
  absl::Duration drain = absl::Nanoseconds(start.drain_timeout_nanos());
  if (drain <= absl::ZeroDuration()) drain = kDefaultDrain;
  return RunExecSession(request, std::min(drain, kMaxDrain), state_->crun,
                        state_->reaper, context, stream);
}

absl::Status ContainerRuntime::Attach(grpc::ServerContext* context,
                                      AttachStream* stream) {
  agent::v1::AttachInput first;
  if (!stream->Read(&first) || !first.has_start()) {
    return absl::InvalidArgumentError("the first message is not a start");
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<ContainerEntry> entry,
                   state_->Find(first.start().container_id()));
  return RunAttachSession(*entry, first.start().stdin(), context, stream);
}

}  // namespace podvisor
