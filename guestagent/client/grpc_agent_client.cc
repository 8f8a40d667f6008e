#include "guestagent/client/grpc_agent_client.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "guestagent/client/reply_check.h"

namespace podvisor {
namespace {

using agent::v1::Agent;

std::string Text(absl::string_view text) { return std::string(text); }

}  // namespace

GrpcAgentClient::GrpcAgentClient(std::string socket_path,
                                 const AgentSecret& secret,
                                 const AgentClientOptions& options,
                                 Clock* clock)
    : clock_(clock),
      connection_(std::move(socket_path), secret, options, clock) {}

absl::Status GrpcAgentClient::Connect(absl::Time deadline) {
  return connection_.Begin(deadline).status();
}

void GrpcAgentClient::Disconnect() { connection_.Disconnect(); }

template <typename Request, typename Response>
absl::StatusOr<Response> GrpcAgentClient::Unary(
    Method<Request, Response> method, const Request& request,
    absl::Time deadline) {
  ASSIGN_OR_RETURN(const std::unique_ptr<AgentConnection::Call> call,
                   connection_.Begin(deadline));
  Response response;
  RETURN_IF_ERROR(call->Finish(
      (call->stub().*method)(call->context(), request, &response)));
  return response;
}

int64_t GrpcAgentClient::AgentTimeoutNanos(absl::Time deadline) {
  const absl::Duration left = std::clamp(deadline - clock_->Now(),
                                         absl::Nanoseconds(1), absl::Hours(1));
  return std::max<int64_t>(
      1, absl::ToInt64Nanoseconds(
             left - std::min(left / 10, absl::Milliseconds(500))));
}

absl::StatusOr<GuestSize> GrpcAgentClient::Observe(absl::Time deadline) {
  ASSIGN_OR_RETURN(const agent::v1::GuestResources reply,
                   Unary(&Agent::Stub::ObserveResources,
                         agent::v1::ObserveResourcesRequest(), deadline));
  return CheckGuestResources(reply);
}

absl::StatusOr<GuestSize> GrpcAgentClient::SetOnlineCpus(int count,
                                                         absl::Time deadline) {
  if (count < 1) return absl::InvalidArgumentError("no CPU would be online");
  agent::v1::SetOnlineCpusRequest request;
  request.set_count(static_cast<uint32_t>(count));
  request.set_timeout_nanos(AgentTimeoutNanos(deadline));
  ASSIGN_OR_RETURN(const agent::v1::GuestResources reply,
                   Unary(&Agent::Stub::SetOnlineCpus, request, deadline));
  ASSIGN_OR_RETURN(const GuestSize size, CheckGuestResources(reply));
  if (size.cpus_online != count) {
    return absl::DataLossError(absl::StrCat("agent reports success with ",
                                            size.cpus_online, " of ", count,
                                            " CPUs online"));
  }
  return size;
}

absl::StatusOr<GuestSize> GrpcAgentClient::AwaitMemoryAtLeast(
    int64_t memory_total_bytes, absl::Time deadline) {
  return AwaitMemory(memory_total_bytes, /*at_most=*/false, deadline);
}

absl::StatusOr<GuestSize> GrpcAgentClient::AwaitMemoryAtMost(
    int64_t memory_total_bytes, absl::Time deadline) {
  return AwaitMemory(memory_total_bytes, /*at_most=*/true, deadline);
}

absl::StatusOr<GuestSize> GrpcAgentClient::AwaitMemory(
    int64_t memory_total_bytes, bool at_most, absl::Time deadline) {
  agent::v1::AwaitMemoryRequest request;
  request.set_memory_total_bytes(memory_total_bytes);
  request.set_at_most(at_most);
  request.set_timeout_nanos(AgentTimeoutNanos(deadline));
  ASSIGN_OR_RETURN(const agent::v1::GuestResources reply,
                   Unary(&Agent::Stub::AwaitMemory, request, deadline));
  ASSIGN_OR_RETURN(const GuestSize size, CheckGuestResources(reply));
  const bool reached = at_most ? size.memory_total_bytes <= memory_total_bytes
                               : size.memory_total_bytes >= memory_total_bytes;
  if (!reached) {
    return absl::DataLossError(absl::StrCat(
        "agent reports success with MemTotal ", size.memory_total_bytes));
  }
  return size;
}

absl::StatusOr<GuestSize> GrpcAgentClient::ReclaimMemory(
    int64_t memory_free_bytes, absl::Time deadline) {
  agent::v1::ReclaimMemoryRequest request;
  request.set_memory_free_bytes(memory_free_bytes);
  request.set_timeout_nanos(AgentTimeoutNanos(deadline));
  ASSIGN_OR_RETURN(const agent::v1::GuestResources reply,
                   Unary(&Agent::Stub::ReclaimMemory, request, deadline));
  return CheckGuestResources(reply);
}

absl::StatusOr<agent::v1::HelloResponse> GrpcAgentClient::Hello(
    absl::Time deadline) {
  ASSIGN_OR_RETURN(
      agent::v1::HelloResponse reply,
      Unary(&Agent::Stub::Hello, connection_.MakeHello(), deadline));
  RETURN_IF_ERROR(CheckHello(&reply));
  return reply;
}

absl::Status GrpcAgentClient::ConfigureSandbox(
    const agent::v1::ConfigureSandboxRequest& request, absl::Time deadline) {
  return Unary(&Agent::Stub::ConfigureSandbox, request, deadline).status();
}

absl::Status GrpcAgentClient::ConfigureNetwork(
    const agent::v1::ConfigureNetworkRequest& request, absl::Time deadline) {
  return Unary(&Agent::Stub::ConfigureNetwork, request, deadline).status();
}

absl::Status GrpcAgentClient::MountImage(absl::string_view serial,
                                         absl::string_view image,
                                         absl::string_view fs_type,
                                         absl::Time deadline) {
  agent::v1::MountImageRequest request;
  request.set_serial(Text(serial));
  request.set_image(Text(image));
  request.set_fs_type(Text(fs_type));
  return Unary(&Agent::Stub::MountImage, request, deadline).status();
}

absl::Status GrpcAgentClient::UnmountImage(absl::string_view image,
                                           absl::Time deadline) {
  agent::v1::UnmountImageRequest request;
  request.set_image(Text(image));
  return Unary(&Agent::Stub::UnmountImage, request, deadline).status();
}

absl::Status GrpcAgentClient::MountShare(absl::string_view tag,
                                         absl::Time deadline) {
  agent::v1::MountShareRequest request;
  request.set_tag(Text(tag));
  return Unary(&Agent::Stub::MountShare, request, deadline).status();
}

absl::Status GrpcAgentClient::PowerOff(absl::Time deadline) {
  // An agent that cannot even be reached has not been told.
  ASSIGN_OR_RETURN(const std::unique_ptr<AgentConnection::Call> call,
                   connection_.Begin(deadline));
  agent::v1::PowerOffResponse response;
  const absl::Status status =
      call->Finish(call->stub().PowerOff(call->context(), {}, &response));
  return absl::IsUnavailable(status) ? absl::OkStatus() : status;
}

absl::StatusOr<agent::v1::CreateContainerResponse> GrpcAgentClient::Create(
    const ContainerId& id, const agent::v1::ContainerSpec& spec,
    absl::Time deadline) {
  agent::v1::CreateContainerRequest request;
  request.set_container_id(id.value());
  *request.mutable_spec() = spec;
  ASSIGN_OR_RETURN(agent::v1::CreateContainerResponse reply,
                   Unary(&Agent::Stub::CreateContainer, request, deadline));
  RETURN_IF_ERROR(CheckCreated(reply));
  return reply;
}

absl::Status GrpcAgentClient::Start(const ContainerId& id,
                                    absl::Time deadline) {
  agent::v1::StartContainerRequest request;
  request.set_container_id(id.value());
  return Unary(&Agent::Stub::StartContainer, request, deadline).status();
}

absl::Status GrpcAgentClient::Signal(const ContainerId& id, int signal,
                                     bool all_processes, absl::Time deadline) {
  agent::v1::SignalContainerRequest request;
  request.set_container_id(id.value());
  request.set_signal(signal);
  request.set_all_processes(all_processes);
  return Unary(&Agent::Stub::SignalContainer, request, deadline).status();
}

absl::Status GrpcAgentClient::Update(const ContainerId& id,
                                     const agent::v1::LinuxResources& resources,
                                     absl::Time deadline) {
  agent::v1::UpdateContainerRequest request;
  request.set_container_id(id.value());
  *request.mutable_resources() = resources;
  return Unary(&Agent::Stub::UpdateContainer, request, deadline).status();
}

absl::Status GrpcAgentClient::Delete(const ContainerId& id,
                                     absl::Time deadline) {
  agent::v1::DeleteContainerRequest request;
  request.set_container_id(id.value());
  return Unary(&Agent::Stub::DeleteContainer, request, deadline).status();
}

absl::StatusOr<std::vector<agent::v1::ContainerState>> GrpcAgentClient::List(
    absl::Time deadline) {
  ASSIGN_OR_RETURN(const agent::v1::ListContainersResponse reply,
                   Unary(&Agent::Stub::ListContainers,
                         agent::v1::ListContainersRequest(), deadline));
  return CheckContainers(clock_->Now(), reply);
}

absl::StatusOr<agent::v1::GetStatsResponse> GrpcAgentClient::Stats(
    absl::Time deadline) {
  ASSIGN_OR_RETURN(
      agent::v1::GetStatsResponse reply,
      Unary(&Agent::Stub::GetStats, agent::v1::GetStatsRequest(), deadline));
  RETURN_IF_ERROR(CheckStats(clock_->Now(), &reply));
  return reply;
}

}  // namespace podvisor
