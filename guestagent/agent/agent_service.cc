#include "guestagent/agent/agent_service.h"

#include <time.h>
#include <unistd.h>

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clean_text.h"
#include "base/status_macros.h"
#include "guestagent/agent/guest_network.h"
#include "guestagent/agent/host_seed.h"

namespace podvisor {
namespace {

using agent::v1::GuestResources;

constexpr size_t kMaxResolvConf = 64 << 10;

grpc::Status ToGrpc(const absl::Status& status) {
  // Both sets of codes are the canonical one.
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()),
                      CleanText(status.message(), 2048));
}

template <typename Request>
std::optional<IdMapping> IdsOf(const Request& request) {
  if (!request.has_user_namespace()) return std::nullopt;
  return IdMapping{request.user_namespace().host_id(),
                   request.user_namespace().length()};
}

std::function<bool()> CancelledBy(grpc::ServerContext* context) {
  return [context] { return context->IsCancelled(); };
}

}  // namespace

AgentService::AgentService(AgentParts parts) : parts_(std::move(parts)) {}

grpc::Status AgentService::Hello(grpc::ServerContext*,
                                 const agent::v1::HelloRequest* request,
                                 agent::v1::HelloResponse* response) {
  if (request->protocol_version() != kAgentProtocolVersion) {
    return ToGrpc(absl::FailedPreconditionError(
        absl::StrCat("this agent speaks version ", kAgentProtocolVersion)));
  }
  absl::Status status = AddHostEntropy(request->entropy());
  if (status.ok()) {
    status =
        AdoptHostTime(absl::FromUnixNanos(request->wall_clock_unix_nanos()));
  }
  if (!status.ok()) return ToGrpc(status);
  response->set_protocol_version(kAgentProtocolVersion);
  response->set_agent_version(kAgentVersion);
  response->set_kernel_release(parts_.kernel_release);
  response->set_runtime_version(parts_.runtime_version);
  timespec uptime = {};
  clock_gettime(CLOCK_BOOTTIME, &uptime);
  response->set_uptime_nanos(
      absl::ToInt64Nanoseconds(absl::DurationFromTimespec(uptime)));
  if (parts_.on_hello) parts_.on_hello();
  return grpc::Status::OK;
}

grpc::Status AgentService::ConfigureSandbox(
    grpc::ServerContext* context,
    const agent::v1::ConfigureSandboxRequest* request,
    agent::v1::ConfigureSandboxResponse*) {
  if (request->resolv_conf().size() > kMaxResolvConf) {
    return ToGrpc(absl::InvalidArgumentError("resolv.conf is too long"));
  }
  SandboxSettings settings{
      .hostname = request->hostname(),
      .sysctls = {request->sysctls().begin(), request->sysctls().end()},
      .resolv_conf = request->resolv_conf(),
      .shm_bytes = request->shm_bytes()};
  absl::Status status = parts_.namespaces->SetIds(IdsOf(*request));
  if (status.ok()) status = parts_.namespaces->Configure(settings);
  if (status.ok() && !request->scratch_serial().empty()) {
    status = parts_.disks->MountScratch(request->scratch_serial(),
                                        CancelledBy(context));
  }
  if (parts_.on_configured) parts_.on_configured();
  return ToGrpc(status);
}

grpc::Status AgentService::ConfigureNetwork(
    grpc::ServerContext* context,
    const agent::v1::ConfigureNetworkRequest* request,
    agent::v1::ConfigureNetworkResponse*) {
  absl::Status configured = parts_.namespaces->SetIds(IdsOf(*request));
  if (configured.ok()) {
    configured = ConfigureGuestNetwork(*request, parts_.modules,
                                       parts_.namespaces->network_namespace(),
                                       CancelledBy(context));
  }
  if (configured.ok()) parts_.namespaces->SetAddresses(AddressTexts(*request));
  return ToGrpc(configured);
}

grpc::Status AgentService::PowerOff(grpc::ServerContext*,
                                    const agent::v1::PowerOffRequest*,
                                    agent::v1::PowerOffResponse*) {
  sync();
  parts_.on_power_off();
  return grpc::Status::OK;
}

absl::Status AgentService::Observe(GuestResources* response) const {
  ASSIGN_OR_RETURN(const MemorySize memory, parts_.memory->Observe());
  return Describe(memory, response);
}

absl::Status AgentService::Describe(const MemorySize& memory,
                                    GuestResources* response) const {
  ASSIGN_OR_RETURN(const CpuSet cpus, parts_.cpus->Observe());
  response->set_cpus_online(cpus.online.size());
  response->set_cpus_present(cpus.present.size());
  response->set_memory_total_bytes(memory.total_bytes);
  response->set_memory_available_bytes(memory.available_bytes);
  response->set_memory_free_bytes(memory.free_bytes);
  response->set_memory_total_at_boot_bytes(parts_.memory_total_at_boot_bytes);
  response->set_memory_block_bytes(parts_.memory->BlockBytes());
  return absl::OkStatus();
}

grpc::Status AgentService::ObserveResources(
    grpc::ServerContext*, const agent::v1::ObserveResourcesRequest*,
    GuestResources* response) {
  return ToGrpc(Observe(response));
}

grpc::Status AgentService::SetOnlineCpus(
    grpc::ServerContext* context,
    const agent::v1::SetOnlineCpusRequest* request, GuestResources* response) {
  if (request->count() > 8192) {
    return ToGrpc(absl::InvalidArgumentError("too many CPUs"));
  }
  absl::Status status = parts_.cpus->SetOnline(
      static_cast<int>(request->count()),
      absl::Nanoseconds(request->timeout_nanos()), CancelledBy(context));
  if (status.ok()) status = Observe(response);
  return ToGrpc(status);
}

grpc::Status AgentService::AwaitMemory(
    grpc::ServerContext* context, const agent::v1::AwaitMemoryRequest* request,
    GuestResources* response) {
  const absl::Status driver = parts_.modules->Load("virtio_mem");
  if (!driver.ok()) return ToGrpc(driver);
  const absl::Duration timeout = absl::Nanoseconds(request->timeout_nanos());
  const absl::StatusOr<MemorySize> memory =
      request->at_most()
          ? parts_.memory->AwaitAtMost(request->memory_total_bytes(), timeout,
                                       CancelledBy(context))
          : parts_.memory->AwaitAtLeast(request->memory_total_bytes(), timeout,
                                        CancelledBy(context));
  if (!memory.ok()) return ToGrpc(memory.status());
  return ToGrpc(Describe(*memory, response));
}

grpc::Status AgentService::ReclaimMemory(
    grpc::ServerContext* context,
    const agent::v1::ReclaimMemoryRequest* request, GuestResources* response) {
  absl::Status status = parts_.reclaim->FreeUpTo(
      request->memory_free_bytes(), absl::Nanoseconds(request->timeout_nanos()),
      CancelledBy(context));
  if (status.ok()) status = Observe(response);
  return ToGrpc(status);
}

grpc::Status AgentService::MountImage(
    grpc::ServerContext* context, const agent::v1::MountImageRequest* request,
    agent::v1::MountImageResponse*) {
  return ToGrpc(parts_.disks->MountImage(
      request->serial(), request->image(), request->fs_type(),
      parts_.namespaces->ids(), CancelledBy(context)));
}

grpc::Status AgentService::UnmountImage(
    grpc::ServerContext*, const agent::v1::UnmountImageRequest* request,
    agent::v1::UnmountImageResponse*) {
  return ToGrpc(parts_.disks->UnmountImage(request->image()));
}

grpc::Status AgentService::MountShare(
    grpc::ServerContext* context, const agent::v1::MountShareRequest* request,
    agent::v1::MountShareResponse*) {
  return ToGrpc(parts_.share->Mount(request->tag(), CancelledBy(context)));
}

grpc::Status AgentService::CreateContainer(
    grpc::ServerContext*, const agent::v1::CreateContainerRequest* request,
    agent::v1::CreateContainerResponse* response) {
  return ToGrpc(parts_.containers->Create(*request, response));
}

grpc::Status AgentService::StartContainer(
    grpc::ServerContext*, const agent::v1::StartContainerRequest* request,
    agent::v1::StartContainerResponse* response) {
  return ToGrpc(parts_.containers->Start(*request, response));
}

grpc::Status AgentService::SignalContainer(
    grpc::ServerContext*, const agent::v1::SignalContainerRequest* request,
    agent::v1::SignalContainerResponse* response) {
  return ToGrpc(parts_.containers->Signal(*request, response));
}

grpc::Status AgentService::UpdateContainer(
    grpc::ServerContext*, const agent::v1::UpdateContainerRequest* request,
    agent::v1::UpdateContainerResponse* response) {
  return ToGrpc(parts_.containers->Update(*request, response));
}

grpc::Status AgentService::ReadCgroup(
    grpc::ServerContext*, const agent::v1::ReadCgroupRequest* request,
    agent::v1::ReadCgroupResponse* response) {
  return ToGrpc(parts_.containers->ReadCgroup(*request, response));
}

grpc::Status AgentService::DeleteContainer(
    grpc::ServerContext*, const agent::v1::DeleteContainerRequest* request,
    agent::v1::DeleteContainerResponse* response) {
  return ToGrpc(parts_.containers->Delete(*request, response));
}

grpc::Status AgentService::ListContainers(
    grpc::ServerContext*, const agent::v1::ListContainersRequest* request,
    agent::v1::ListContainersResponse* response) {
  return ToGrpc(parts_.containers->List(*request, response));
}

grpc::Status AgentService::WatchExits(
    grpc::ServerContext* context, const agent::v1::WatchExitsRequest*,
    grpc::ServerWriter<agent::v1::ContainerExit>* writer) {
  return ToGrpc(parts_.containers->WatchExits(
      [writer](const agent::v1::ContainerExit& exit) {
        return writer->Write(exit);
      },
      CancelledBy(context)));
}

grpc::Status AgentService::GetStats(grpc::ServerContext*,
                                    const agent::v1::GetStatsRequest* request,
                                    agent::v1::GetStatsResponse* response) {
  absl::Status status = parts_.containers->GetStats(*request, response);
  if (status.ok()) status = Observe(response->mutable_resources());
  return ToGrpc(status);
}

grpc::Status AgentService::StreamOutput(
    grpc::ServerContext* context, ContainerRuntime::OutputStream* stream) {
  return ToGrpc(parts_.containers->StreamOutput(context, stream));
}

grpc::Status AgentService::Exec(grpc::ServerContext* context,
                                ContainerRuntime::ExecStream* stream) {
  return ToGrpc(parts_.containers->Exec(context, stream));
}

grpc::Status AgentService::Attach(grpc::ServerContext* context,
                                  ContainerRuntime::AttachStream* stream) {
  return ToGrpc(parts_.containers->Attach(context, stream));
}

grpc::Status AgentService::PortForward(grpc::ServerContext* context,
                                       PortForwards::Stream* stream) {
  return ToGrpc(
      forwards_.Serve(parts_.namespaces->network_namespace(), context, stream));
}

}  // namespace podvisor
