#ifndef PODVISOR_GUESTAGENT_CLIENT_GRPC_AGENT_CLIENT_H_
#define PODVISOR_GUESTAGENT_CLIENT_GRPC_AGENT_CLIENT_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/ids.h"
#include "guestagent/agent.pb.h"
#include "guestagent/client/agent_connection.h"
#include "guestagent/client/agent_secret.h"
#include "guestagent/client/guest_agent.h"

namespace podvisor {

// The agent behind one VM's virtio-serial port.
//
// Every call connects if there is no session, so that a caller only ever
// retries the call. A call that was in flight when the transport died fails
// with Unavailable: it may or may not have taken effect.
//
// Thread-safe; calls run side by side. Untrusted peer: all replies pass
// reply_check.h.
class GrpcAgentClient final : public GuestAgent {
 public:
  // `socket_path`: of the chardev that QEMU serves. `clock` outlives this.
  GrpcAgentClient(std::string socket_path, const AgentSecret& secret,
                  const AgentClientOptions& options, Clock* clock);
  // Disconnects and waits until all calls have returned.
  ~GrpcAgentClient() override = default;

  GrpcAgentClient(const GrpcAgentClient&) = delete;
  GrpcAgentClient& operator=(const GrpcAgentClient&) = delete;

  absl::Status Connect(absl::Time deadline) override;
  void Disconnect() override;

  // GuestResources.
  absl::StatusOr<GuestSize> Observe(absl::Time deadline) override;
  absl::StatusOr<GuestSize> SetOnlineCpus(int count,
                                          absl::Time deadline) override;
  absl::StatusOr<GuestSize> AwaitMemoryAtLeast(int64_t memory_total_bytes,
                                               absl::Time deadline) override;
  absl::StatusOr<GuestSize> AwaitMemoryAtMost(int64_t memory_total_bytes,
                                              absl::Time deadline) override;
  absl::StatusOr<GuestSize> ReclaimMemory(int64_t memory_free_bytes,
                                          absl::Time deadline) override;

  // GuestSandbox.
  absl::StatusOr<agent::v1::HelloResponse> Hello(absl::Time deadline) override;
  absl::Status ConfigureSandbox(
      const agent::v1::ConfigureSandboxRequest& request,
      absl::Time deadline) override;
  absl::Status ConfigureNetwork(
      const agent::v1::ConfigureNetworkRequest& request,
      absl::Time deadline) override;
  absl::Status MountImage(absl::string_view serial, absl::string_view image,
                          absl::string_view fs_type,
                          absl::Time deadline) override;
  absl::Status UnmountImage(absl::string_view image,
                            absl::Time deadline) override;
  absl::Status MountShare(absl::string_view tag, absl::Time deadline) override;
  absl::Status PowerOff(absl::Time deadline) override;

  // GuestContainers.
  absl::StatusOr<agent::v1::CreateContainerResponse> Create(
      const ContainerId& id, const agent::v1::ContainerSpec& spec,
      absl::Time deadline) override;
  absl::Status Start(const ContainerId& id, absl::Time deadline) override;
  absl::Status Signal(const ContainerId& id, int signal, bool all_processes,
                      absl::Time deadline) override;
  absl::Status Update(const ContainerId& id,
                      const agent::v1::LinuxResources& resources,
                      absl::Time deadline) override;
  absl::StatusOr<agent::v1::ReadCgroupResponse> ReadCgroup(
      const ContainerId& id, const std::vector<std::string>& files,
      absl::Time deadline) override;
  absl::Status Delete(const ContainerId& id, absl::Time deadline) override;
  absl::StatusOr<std::vector<agent::v1::ContainerState>> List(
      absl::Time deadline) override;
  absl::StatusOr<agent::v1::GetStatsResponse> Stats(
      absl::Time deadline) override;

  // GuestStreams; see grpc_agent_streams.cc.
  absl::Status StreamOutput(const ContainerId& id, const OutputOffsets& begin,
                            const OutputSink& sink) override;
  absl::Status WatchExits(
      const std::function<void(const agent::v1::ContainerExit&)>& on_exit)
      override;
  absl::StatusOr<ExecSyncResult> ExecSync(const ExecSyncRequest& request,
                                          absl::Time deadline) override;
  absl::StatusOr<int> Exec(const GuestExec& request, StreamPeer* peer) override;
  absl::StatusOr<int> Attach(const ContainerId& id, bool with_stdin,
                             StreamPeer* peer) override;
  absl::Status PortForward(uint16_t port, StreamPeer* peer) override;

 private:
  template <typename Request, typename Response>
  using Method = grpc::Status (agent::v1::Agent::Stub::*)(grpc::ClientContext*,
                                                          const Request&,
                                                          Response*);

  template <typename Request, typename Response>
  absl::StatusOr<Response> Unary(Method<Request, Response> method,
                                 const Request& request, absl::Time deadline);
  absl::StatusOr<GuestSize> AwaitMemory(int64_t memory_total_bytes,
                                        bool at_most, absl::Time deadline);
  // What is left until `deadline` for the agent's own wait: a little less, so
  // that its answer arrives in time. At least a nanosecond.
  int64_t AgentTimeoutNanos(absl::Time deadline);

  Clock* const clock_;
  AgentConnection connection_;
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_CLIENT_GRPC_AGENT_CLIENT_H_
