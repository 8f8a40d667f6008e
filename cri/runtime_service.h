#ifndef PODVISOR_CRI_RUNTIME_SERVICE_H_
#define PODVISOR_CRI_RUNTIME_SERVICE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "cri/node_health.h"
#include "cri/stats_service.h"
#include "cri/streaming/stream_server.h"
#include "sandbox/parts/pod_event_feed.h"
#include "sandbox/pod/pod_manager.h"
#include "third_party/cri_api/api.grpc.pb.h"

namespace podvisor {

// What Version and Status say about this daemon. Fixed at start.
struct RuntimeFacts {
  std::string version;
  bool systemd_cgroups = false;
  std::string root_directory;      // holds the writable layers
  std::string config_toml;         // the configuration in force
  std::string accelerator;         // "kvm" or "tcg"
  std::string accelerator_reason;  // why not the other
  // ReadDefaultSeccomp()'s answer.
  absl::StatusOr<std::string> seccomp_default;
};

// All borrowed; all outlive the service.
struct RuntimeParts {
  PodManager* pods = nullptr;
  const NodeHealth* health = nullptr;
  const NodeHealth* network_health = nullptr;
  PodEventFeed* events = nullptr;
  StreamServer* streams = nullptr;
  Clock* clock = nullptr;
};

// CRI's RuntimeService: each call converts, calls the pods, converts back.
// Calls that are not overridden here answer UNIMPLEMENTED.
//
// Lists, status and stats are answered from the daemon's own memory.
// Thread-safe.
class RuntimeService final : public StatsService {
 public:
  RuntimeService(const RuntimeParts& parts, RuntimeFacts facts);

  grpc::Status Version(grpc::ServerContext* context,
                       const runtime::v1::VersionRequest* request,
                       runtime::v1::VersionResponse* response) override;
  grpc::Status Status(grpc::ServerContext* context,
                      const runtime::v1::StatusRequest* request,
                      runtime::v1::StatusResponse* response) override;
  grpc::Status RuntimeConfig(
      grpc::ServerContext* context,
      const runtime::v1::RuntimeConfigRequest* request,
      runtime::v1::RuntimeConfigResponse* response) override;
  grpc::Status UpdateRuntimeConfig(
      grpc::ServerContext* context,
      const runtime::v1::UpdateRuntimeConfigRequest* request,
      runtime::v1::UpdateRuntimeConfigResponse* response) override;

  grpc::Status RunPodSandbox(
      grpc::ServerContext* context,
      const runtime::v1::RunPodSandboxRequest* request,
      runtime::v1::RunPodSandboxResponse* response) override;
  grpc::Status StopPodSandbox(
      grpc::ServerContext* context,
      const runtime::v1::StopPodSandboxRequest* request,
      runtime::v1::StopPodSandboxResponse* response) override;
  grpc::Status RemovePodSandbox(
      grpc::ServerContext* context,
      const runtime::v1::RemovePodSandboxRequest* request,
      runtime::v1::RemovePodSandboxResponse* response) override;
  grpc::Status PodSandboxStatus(
      grpc::ServerContext* context,
      const runtime::v1::PodSandboxStatusRequest* request,
      runtime::v1::PodSandboxStatusResponse* response) override;
  grpc::Status ListPodSandbox(
      grpc::ServerContext* context,
      const runtime::v1::ListPodSandboxRequest* request,
      runtime::v1::ListPodSandboxResponse* response) override;

  grpc::Status CreateContainer(
      grpc::ServerContext* context,
      const runtime::v1::CreateContainerRequest* request,
      runtime::v1::CreateContainerResponse* response) override;
  grpc::Status StartContainer(
      grpc::ServerContext* context,
      const runtime::v1::StartContainerRequest* request,
      runtime::v1::StartContainerResponse* response) override;
  grpc::Status StopContainer(
      grpc::ServerContext* context,
      const runtime::v1::StopContainerRequest* request,
      runtime::v1::StopContainerResponse* response) override;
  grpc::Status RemoveContainer(
      grpc::ServerContext* context,
      const runtime::v1::RemoveContainerRequest* request,
      runtime::v1::RemoveContainerResponse* response) override;
  grpc::Status ListContainers(
      grpc::ServerContext* context,
      const runtime::v1::ListContainersRequest* request,
      runtime::v1::ListContainersResponse* response) override;
  grpc::Status ContainerStatus(
      grpc::ServerContext* context,
      const runtime::v1::ContainerStatusRequest* request,
      runtime::v1::ContainerStatusResponse* response) override;
  grpc::Status UpdateContainerResources(
      grpc::ServerContext* context,
      const runtime::v1::UpdateContainerResourcesRequest* request,
      runtime::v1::UpdateContainerResourcesResponse* response) override;
  grpc::Status UpdatePodSandboxResources(
      grpc::ServerContext* context,
      const runtime::v1::UpdatePodSandboxResourcesRequest* request,
      runtime::v1::UpdatePodSandboxResourcesResponse* response) override;
  grpc::Status ReopenContainerLog(
      grpc::ServerContext* context,
      const runtime::v1::ReopenContainerLogRequest* request,
      runtime::v1::ReopenContainerLogResponse* response) override;
  grpc::ServerUnaryReactor* ExecSync(
      grpc::CallbackServerContext* context,
      const runtime::v1::ExecSyncRequest* request,
      runtime::v1::ExecSyncResponse* response) override;
  // These three answer with a URL of the streaming server.
  grpc::Status Exec(grpc::ServerContext* context,
                    const runtime::v1::ExecRequest* request,
                    runtime::v1::ExecResponse* response) override;
  grpc::Status Attach(grpc::ServerContext* context,
                      const runtime::v1::AttachRequest* request,
                      runtime::v1::AttachResponse* response) override;
  grpc::Status PortForward(grpc::ServerContext* context,
                           const runtime::v1::PortForwardRequest* request,
                           runtime::v1::PortForwardResponse* response) override;
  grpc::Status StreamPodSandboxes(
      grpc::ServerContext* context,
      const runtime::v1::StreamPodSandboxesRequest* request,
      grpc::ServerWriter<runtime::v1::StreamPodSandboxesResponse>* writer)
      override;
  grpc::Status StreamContainers(
      grpc::ServerContext* context,
      const runtime::v1::StreamContainersRequest* request,
      grpc::ServerWriter<runtime::v1::StreamContainersResponse>* writer)
      override;
  grpc::Status GetContainerEvents(
      grpc::ServerContext* context,
      const runtime::v1::GetEventsRequest* request,
      grpc::ServerWriter<runtime::v1::ContainerEventResponse>* writer) override;

 private:
  // By when the work of a call must be done: its client's deadline, less a part
  // for the answer; in two minutes where the client set none.
  absl::Time Deadline(const grpc::ServerContextBase& context) const;
  // The same with another part, a sixteenth of the time and at most `most`.
  absl::Time DeadlineLeaving(absl::Duration most,
                             const grpc::ServerContextBase& context) const;

  PodManager* const pods_;
  const NodeHealth* const health_;
  const NodeHealth* const network_health_;
  PodEventFeed* const events_;
  StreamServer* const streams_;
  Clock* const clock_;
  const RuntimeFacts facts_;
};

}  // namespace podvisor

#endif  // PODVISOR_CRI_RUNTIME_SERVICE_H_
