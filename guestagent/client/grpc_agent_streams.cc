// The streams of GrpcAgentClient. Each blocks its caller's thread; what a
// hostile agent makes of them is ended by the deadline, by Disconnect() or by
// the keepalive.

#include <algorithm>
#include <atomic>
#include <memory>
#include <set>
#include <stop_token>
#include <string>
#include <utility>

#include "base/status_macros.h"
#include "grpcpp/support/sync_stream.h"
#include "guestagent/client/grpc_agent_client.h"
#include "guestagent/client/reply_check.h"
#include "guestagent/exec_times.h"

namespace podvisor {
namespace {

using agent::v1::ContainerExit;
using agent::v1::ExecInput;
using agent::v1::ExecOutput;
using agent::v1::OutputChunk;
using agent::v1::OutputRequest;

using OutputStream = grpc::ClientReaderWriter<OutputRequest, OutputChunk>;

// Well below the 256 KiB that the agent keeps: it never waits for us, and an
// output of many small lines does not cost a message for each.
constexpr uint64_t kAcknowledgeEveryBytes = 32 << 10;

// A watch that tells of more exits is opened anew, to bound what it remembers.
constexpr size_t kMaxExitsPerWatch = 16 << 10;

OutputRequest RequestAt(const OutputOffsets& offsets) {
  OutputRequest request;
  request.set_stdout_offset(offsets.stdout_bytes);
  request.set_stderr_offset(offsets.stderr_bytes);
  return request;
}

bool WorthTelling(const OutputOffsets& stored, const OutputOffsets& told) {
  return stored.stdout_bytes >= told.stdout_bytes + kAcknowledgeEveryBytes ||
         stored.stderr_bytes >= told.stderr_bytes + kAcknowledgeEveryBytes;
}

bool IsWithin(const OutputOffsets& stored, const OutputOffsets& received) {
  return stored.stdout_bytes <= received.stdout_bytes &&
         stored.stderr_bytes <= received.stderr_bytes;
}

// OK at the end of both streams; Unavailable when the RPC ended first, whose
// own status then says why.
absl::Status FeedSink(OutputStream& stream, const OutputOffsets& begin,
                      const GuestStreams::OutputSink& sink, bool* rpc_ended) {
  OutputChecker checker(begin);
  OutputOffsets told = begin;
  OutputOffsets stored = begin;
  OutputChunk chunk;
  while (!checker.finished()) {
    if (!stream.Read(&chunk)) {
      *rpc_ended = true;
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(checker.Check(chunk));
    ASSIGN_OR_RETURN(stored, sink(chunk));
    if (!IsWithin(stored, checker.received())) {
      return absl::InternalError("the sink stored more than it was given");
    }
    if (!WorthTelling(stored, told)) continue;
    stream.Write(RequestAt(stored));  // a failure shows at the next Read
    told = stored;
  }
  if (!(stored == told)) stream.Write(RequestAt(stored));
  return absl::OkStatus();
}

// As much of `data` as the request has room for.
void AppendBounded(const std::string& data, const ExecSyncRequest& request,
                   const ExecSyncResult& result, std::string* output) {
  const size_t used = result.stdout_data.size() + result.stderr_data.size();
  output->append(
      data, 0,
      request.max_output_bytes - std::min(request.max_output_bytes, used));
}

}  // namespace

absl::Status GrpcAgentClient::StreamOutput(const ContainerId& id,
                                           const OutputOffsets& begin,
                                           const OutputSink& sink) {
  ASSIGN_OR_RETURN(const std::unique_ptr<AgentConnection::Call> call,
                   connection_.Begin(absl::InfiniteFuture()));
  const std::unique_ptr<OutputStream> stream =
      call->stub().StreamOutput(call->context());
  OutputRequest first = RequestAt(begin);
  first.set_container_id(id.value());
  stream->Write(first);
  bool rpc_ended = false;
  const absl::Status fed = FeedSink(*stream, begin, sink, &rpc_ended);
  if (!rpc_ended) {
    // Done, or given up: the agent is not asked to agree.
    stream->WritesDone();
    call->context()->TryCancel();
    stream->Finish().IgnoreError();
    return fed;
  }
  RETURN_IF_ERROR(call->Finish(stream->Finish()));
  return absl::DataLossError("agent ended the output before its end");
}

absl::Status GrpcAgentClient::WatchExits(
    const std::function<void(const ContainerExit&)>& on_exit) {
  ASSIGN_OR_RETURN(const std::unique_ptr<AgentConnection::Call> call,
                   connection_.Begin(absl::InfiniteFuture()));
  const auto reader = call->stub().WatchExits(call->context(), {});
  // A container exits once; without this a guest could keep us busy.
  std::set<std::string> seen;
  absl::Status given_up;
  ContainerExit exit;
  while (given_up.ok() && reader->Read(&exit)) {
    given_up = CheckExit(clock_->Now(), &exit);
    if (given_up.ok() && seen.size() >= kMaxExitsPerWatch) {
      given_up = absl::UnavailableError("many exits: watch again");
    }
    if (given_up.ok() && !seen.insert(exit.container_id()).second) {
      given_up = absl::DataLossError("agent told an exit twice");
    }
    if (given_up.ok()) on_exit(exit);
  }
  if (!given_up.ok()) {
    call->context()->TryCancel();
    reader->Finish().IgnoreError();
    return given_up;
  }
  RETURN_IF_ERROR(call->Finish(reader->Finish()));
  return absl::UnavailableError("agent ended the watch");
}

absl::StatusOr<ExecSyncResult> GrpcAgentClient::ExecSync(
    const ExecSyncRequest& request, absl::Time deadline) {
  ASSIGN_OR_RETURN(const std::unique_ptr<AgentConnection::Call> call,
                   connection_.Begin(deadline));
  if (deadline != absl::InfiniteFuture()) {
    call->context()->set_deadline(
        absl::ToChronoTime(deadline + kExecAnswerTime));
  }
  // First: a guest can keep the call from beginning.
  std::atomic<bool> gone = false;
  const std::stop_callback on_gone(request.gone, [&gone, &call] {
    gone = true;
    call->context()->TryCancel();
  });
  const auto stream = call->stub().Exec(call->context());
  ExecInput input;
  ExecInput::Start* start = input.mutable_start();
  start->set_container_id(request.container.value());
  *start->mutable_args() = {request.args.begin(), request.args.end()};
  start->set_drain_timeout_nanos(
      std::max<int64_t>(1, absl::ToInt64Nanoseconds(request.drain_timeout)));
  if (deadline != absl::InfiniteFuture()) {
    start->set_timeout_nanos(std::max<int64_t>(
        1, absl::ToInt64Nanoseconds(deadline - clock_->Now())));
  }
  stream->Write(input);
  stream->WritesDone();

  ExecSyncResult result;
  ExecOutput output;
  bool exited = false;
  while (!exited && stream->Read(&output)) {
    switch (output.output_case()) {
      case ExecOutput::kStdout:
        AppendBounded(output.stdout(), request, result, &result.stdout_data);
        break;
      case ExecOutput::kStderr:
        AppendBounded(output.stderr(), request, result, &result.stderr_data);
        break;
      case ExecOutput::kExitCode:
        result.exit_code = output.exit_code();
        exited = true;
        break;
      case ExecOutput::OUTPUT_NOT_SET:
        break;
    }
  }
  if (exited) {
    // The last message; how the agent ends the call no longer matters.
    call->context()->TryCancel();
    stream->Finish().IgnoreError();
    if (result.exit_code < 0 || result.exit_code > 255) {
      return absl::DataLossError("agent's reply: impossible exit code");
    }
    return result;
  }
  const grpc::Status end = stream->Finish();
  // Our own doing, and no fault of the session's.
  if (gone) return absl::CancelledError("nobody waits for the exec");
  RETURN_IF_ERROR(call->Finish(end));
  return absl::DataLossError("agent ended the exec without an exit code");
}

}  // namespace podvisor
