#include "cri/streaming_calls.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "sandbox/container/container.h"
#include "sandbox/pod/pod.h"

namespace podvisor {
namespace {

absl::Status CheckRuns(const Container& container) {
  if (container.phase() == ContainerPhase::kRunning) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("container ", container.id().value(), " is not running"));
}

template <typename Request>
absl::StatusOr<ProcessStreams> StreamsOf(const Request& request) {
  const ProcessStreams streams = {.in = request.stdin(),
                                  .out = request.stdout(),
                                  .err = request.stderr(),
                                  .tty = request.tty()};
  if (streams.tty && streams.err) {
    return absl::InvalidArgumentError(
        "stderr: a terminal has no standard error of its own");
  }
  if (!streams.in && !streams.out && !streams.err) {
    return absl::InvalidArgumentError(
        "none of stdin, stdout and stderr is wanted");
  }
  return streams;
}

}  // namespace

absl::StatusOr<StreamRequest> CheckExec(
    const PodManager& pods, const runtime::v1::ExecRequest& request) {
  ASSIGN_OR_RETURN(const ProcessStreams streams, StreamsOf(request));
  if (request.cmd().empty()) return absl::InvalidArgumentError("no command");
  ASSIGN_OR_RETURN(const FoundContainer found,
                   pods.FindContainer(request.container_id()));
  RETURN_IF_ERROR(CheckRuns(*found.container));
  return ExecStreamRequest{found.container->id(),
                           {request.cmd().begin(), request.cmd().end()},
                           streams};
}

absl::StatusOr<StreamRequest> CheckAttach(
    const PodManager& pods, const runtime::v1::AttachRequest& request) {
  ASSIGN_OR_RETURN(const ProcessStreams streams, StreamsOf(request));
  ASSIGN_OR_RETURN(const FoundContainer found,
                   pods.FindContainer(request.container_id()));
  RETURN_IF_ERROR(CheckRuns(*found.container));
  return AttachStreamRequest{found.container->id(), streams};
}

absl::StatusOr<StreamRequest> CheckPortForward(
    const PodManager& pods, const runtime::v1::PortForwardRequest& request) {
  podvisor::PortForwardRequest converted;
  if (request.port_size() > kMaxForwardedPorts) {
    return absl::InvalidArgumentError(
        absl::StrCat("port: more than ", kMaxForwardedPorts));
  }
  for (const int32_t port : request.port()) {
    if (port < 1 || port > UINT16_MAX) {
      return absl::InvalidArgumentError(
          absl::StrCat("port: ", port, " is not a port"));
    }
    converted.ports.push_back(static_cast<uint16_t>(port));
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<Pod> pod,
                   pods.FindPod(request.pod_sandbox_id()));
  RETURN_IF_ERROR(pod->guest().ReadyAgent().status());
  converted.pod = pod->id();
  return converted;
}

absl::StatusOr<int> PodStreams::Exec(const ExecStreamRequest& request,
                                     StreamPeer* peer) {
  ASSIGN_OR_RETURN(const FoundContainer found,
                   pods_->FindContainer(request.container.value()));
  RETURN_IF_ERROR(CheckRuns(*found.container));
  ASSIGN_OR_RETURN(GuestAgent* const agent, found.pod->guest().ReadyAgent());
  GuestExec exec;
  exec.container = request.container;
  exec.args = request.args;
  exec.tty = request.streams.tty;
  exec.with_stdin = request.streams.in;
  return agent->Exec(exec, peer);
}

absl::StatusOr<int> PodStreams::Attach(const AttachStreamRequest& request,
                                       StreamPeer* peer) {
  ASSIGN_OR_RETURN(const FoundContainer found,
                   pods_->FindContainer(request.container.value()));
  RETURN_IF_ERROR(CheckRuns(*found.container));
  ASSIGN_OR_RETURN(GuestAgent* const agent, found.pod->guest().ReadyAgent());
  return agent->Attach(request.container, request.streams.in, peer);
}

absl::Status PodStreams::PortForward(const PodId& pod, uint16_t port,
                                     StreamPeer* peer) {
  ASSIGN_OR_RETURN(const std::shared_ptr<Pod> found,
                   pods_->FindPod(pod.value()));
  ASSIGN_OR_RETURN(GuestAgent* const agent, found->guest().ReadyAgent());
  return agent->PortForward(port, peer);
}

}  // namespace podvisor
