#ifndef PODVISOR_GUESTAGENT_AGENT_AGENT_SERVICE_H_
#define PODVISOR_GUESTAGENT_AGENT_AGENT_SERVICE_H_

#include <cstdint>
#include <functional>
#include <string>

#include "grpcpp/grpcpp.h"
#include "guestagent/agent.grpc.pb.h"
#include "guestagent/agent/container_runtime.h"
#include "guestagent/agent/cpu_online.h"
#include "guestagent/agent/disk_mount.h"
#include "guestagent/agent/kernel_modules.h"
#include "guestagent/agent/memory_reclaim.h"
#include "guestagent/agent/memory_view.h"
#include "guestagent/agent/port_forward.h"
#include "guestagent/agent/sandbox_namespaces.h"
#include "guestagent/agent/share_mount.h"

namespace podvisor {

inline constexpr char kAgentVersion[] = "0.1.0";
inline constexpr uint32_t kAgentProtocolVersion = 1;

// What the service hands its calls to. All of it outlives the service.
struct AgentParts {
  KernelModules* modules = nullptr;
  CpuOnline* cpus = nullptr;
  MemoryView* memory = nullptr;
  MemoryReclaim* reclaim = nullptr;
  DiskMount* disks = nullptr;
  ShareMount* share = nullptr;
  SandboxNamespaces* namespaces = nullptr;
  ContainerRuntime* containers = nullptr;

  std::string kernel_release;
  std::string runtime_version;
  int64_t memory_total_at_boot_bytes = 0;

  // Called when the host has said hello, and each time it does again.
  std::function<void()> on_hello;
  // Called when the sandbox has been configured.
  std::function<void()> on_configured;
  // Called when the guest is to be switched off; must not block.
  std::function<void()> on_power_off;
};

// agent.proto's service: finds the part for each call and turns its Status
// into gRPC's, code for code. Thread-safe: calls run side by side.
class AgentService final : public agent::v1::Agent::Service {
 public:
  explicit AgentService(AgentParts parts);

  grpc::Status Hello(grpc::ServerContext* context,
                     const agent::v1::HelloRequest* request,
                     agent::v1::HelloResponse* response) override;
  grpc::Status ConfigureSandbox(
      grpc::ServerContext* context,
      const agent::v1::ConfigureSandboxRequest* request,
      agent::v1::ConfigureSandboxResponse* response) override;
  grpc::Status ConfigureNetwork(
      grpc::ServerContext* context,
      const agent::v1::ConfigureNetworkRequest* request,
      agent::v1::ConfigureNetworkResponse* response) override;
  grpc::Status PowerOff(grpc::ServerContext* context,
                        const agent::v1::PowerOffRequest* request,
                        agent::v1::PowerOffResponse* response) override;

  grpc::Status ObserveResources(
      grpc::ServerContext* context,
      const agent::v1::ObserveResourcesRequest* request,
      agent::v1::GuestResources* response) override;
  grpc::Status SetOnlineCpus(grpc::ServerContext* context,
                             const agent::v1::SetOnlineCpusRequest* request,
                             agent::v1::GuestResources* response) override;
  grpc::Status AwaitMemory(grpc::ServerContext* context,
                           const agent::v1::AwaitMemoryRequest* request,
                           agent::v1::GuestResources* response) override;
  grpc::Status ReclaimMemory(grpc::ServerContext* context,
                             const agent::v1::ReclaimMemoryRequest* request,
                             agent::v1::GuestResources* response) override;

  grpc::Status MountImage(grpc::ServerContext* context,
                          const agent::v1::MountImageRequest* request,
                          agent::v1::MountImageResponse* response) override;
  grpc::Status UnmountImage(grpc::ServerContext* context,
                            const agent::v1::UnmountImageRequest* request,
                            agent::v1::UnmountImageResponse* response) override;
  grpc::Status MountShare(grpc::ServerContext* context,
                          const agent::v1::MountShareRequest* request,
                          agent::v1::MountShareResponse* response) override;

  grpc::Status CreateContainer(
      grpc::ServerContext* context,
      const agent::v1::CreateContainerRequest* request,
      agent::v1::CreateContainerResponse* response) override;
  grpc::Status StartContainer(
      grpc::ServerContext* context,
      const agent::v1::StartContainerRequest* request,
      agent::v1::StartContainerResponse* response) override;
  grpc::Status SignalContainer(
      grpc::ServerContext* context,
      const agent::v1::SignalContainerRequest* request,
      agent::v1::SignalContainerResponse* response) override;
  grpc::Status UpdateContainer(
      grpc::ServerContext* context,
      const agent::v1::UpdateContainerRequest* request,
      agent::v1::UpdateContainerResponse* response) override;
  grpc::Status ReadCgroup(grpc::ServerContext* context,
                          const agent::v1::ReadCgroupRequest* request,
                          agent::v1::ReadCgroupResponse* response) override;
  grpc::Status DeleteContainer(
      grpc::ServerContext* context,
      const agent::v1::DeleteContainerRequest* request,
      agent::v1::DeleteContainerResponse* response) override;
  grpc::Status ListContainers(
      grpc::ServerContext* context,
      const agent::v1::ListContainersRequest* request,
      agent::v1::ListContainersResponse* response) override;
  grpc::Status WatchExits(
      grpc::ServerContext* context, const agent::v1::WatchExitsRequest* request,
      grpc::ServerWriter<agent::v1::ContainerExit>* writer) override;
  grpc::Status GetStats(grpc::ServerContext* context,
                        const agent::v1::GetStatsRequest* request,
                        agent::v1::GetStatsResponse* response) override;
  grpc::Status StreamOutput(grpc::ServerContext* context,
                            ContainerRuntime::OutputStream* stream) override;
  grpc::Status Exec(grpc::ServerContext* context,
                    ContainerRuntime::ExecStream* stream) override;
  grpc::Status Attach(grpc::ServerContext* context,
                      ContainerRuntime::AttachStream* stream) override;
  grpc::Status PortForward(grpc::ServerContext* context,
                           PortForwards::Stream* stream) override;

 private:
  absl::Status Observe(agent::v1::GuestResources* response) const;
  // With the memory as it was seen.
  absl::Status Describe(const MemorySize& memory,
                        agent::v1::GuestResources* response) const;

  const AgentParts parts_;
  PortForwards forwards_;
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_AGENT_SERVICE_H_
