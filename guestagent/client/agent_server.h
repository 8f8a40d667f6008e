#ifndef PODVISOR_GUESTAGENT_CLIENT_AGENT_SERVER_H_
#define PODVISOR_GUESTAGENT_CLIENT_AGENT_SERVER_H_

#include <functional>
#include <memory>

#include "grpcpp/server.h"
#include "guestagent/agent.grpc.pb.h"
#include "guestagent/client/channel_peer.h"

namespace podvisor {

// An agent for tests of the client, behind a real handshake and real HTTP/2.
// Its methods do what the test says; without a word they answer with sensible
// nothing. Members are set before the server is made.
class ScriptedAgent : public agent::v1::Agent::Service {
 public:
  template <typename Request, typename Response>
  using Script = std::function<grpc::Status(grpc::ServerContext*,
                                            const Request*, Response*)>;

  ScriptedAgent();

  Script<agent::v1::HelloRequest, agent::v1::HelloResponse> hello;
  Script<agent::v1::PowerOffRequest, agent::v1::PowerOffResponse> power_off;
  Script<agent::v1::ObserveResourcesRequest, agent::v1::GuestResources> observe;
  Script<agent::v1::SetOnlineCpusRequest, agent::v1::GuestResources> set_cpus;
  Script<agent::v1::AwaitMemoryRequest, agent::v1::GuestResources> await_memory;
  Script<agent::v1::ReclaimMemoryRequest, agent::v1::GuestResources>
      reclaim_memory;
  Script<agent::v1::CreateContainerRequest, agent::v1::CreateContainerResponse>
      create;
  Script<agent::v1::ListContainersRequest, agent::v1::ListContainersResponse>
      list;
  Script<agent::v1::GetStatsRequest, agent::v1::GetStatsResponse> stats;
  // Without a word UNIMPLEMENTED, as with the agent of an earlier daemon.
  Script<agent::v1::ReadCgroupRequest, agent::v1::ReadCgroupResponse>
      read_cgroup;
  Script<agent::v1::WatchExitsRequest,
         grpc::ServerWriter<agent::v1::ContainerExit>>
      watch;
  std::function<grpc::Status(
      grpc::ServerContext*,
      grpc::ServerReaderWriter<agent::v1::OutputChunk,
                               agent::v1::OutputRequest>*)>
      output;
  std::function<grpc::Status(
      grpc::ServerContext*,
      grpc::ServerReaderWriter<agent::v1::ExecOutput, agent::v1::ExecInput>*)>
      exec;
  std::function<grpc::Status(grpc::ServerContext*,
                             grpc::ServerReaderWriter<agent::v1::AttachOutput,
                                                      agent::v1::AttachInput>*)>
      attach;
  std::function<grpc::Status(
      grpc::ServerContext*,
      grpc::ServerReaderWriter<agent::v1::PortForwardOutput,
                               agent::v1::PortForwardInput>*)>
      port_forward;

  // What a guest of 1 CPU and 256 MiB reports.
  static agent::v1::GuestResources GoodResources();
  // Waits until the client has given the call up.
  static grpc::Status Hang(grpc::ServerContext* context);

 private:
  grpc::Status Hello(grpc::ServerContext* context,
                     const agent::v1::HelloRequest* request,
                     agent::v1::HelloResponse* response) override;
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
  grpc::Status CreateContainer(
      grpc::ServerContext* context,
      const agent::v1::CreateContainerRequest* request,
      agent::v1::CreateContainerResponse* response) override;
  grpc::Status ListContainers(
      grpc::ServerContext* context,
      const agent::v1::ListContainersRequest* request,
      agent::v1::ListContainersResponse* response) override;
  grpc::Status GetStats(grpc::ServerContext* context,
                        const agent::v1::GetStatsRequest* request,
                        agent::v1::GetStatsResponse* response) override;
  grpc::Status ReadCgroup(grpc::ServerContext* context,
                          const agent::v1::ReadCgroupRequest* request,
                          agent::v1::ReadCgroupResponse* response) override;
  grpc::Status WatchExits(
      grpc::ServerContext* context, const agent::v1::WatchExitsRequest* request,
      grpc::ServerWriter<agent::v1::ContainerExit>* writer) override;
  grpc::Status StreamOutput(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<agent::v1::OutputChunk,
                               agent::v1::OutputRequest>* stream) override;
  grpc::Status Exec(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<agent::v1::ExecOutput, agent::v1::ExecInput>*
          stream) override;
  grpc::Status Attach(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<agent::v1::AttachOutput, agent::v1::AttachInput>*
          stream) override;
  grpc::Status PortForward(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<agent::v1::PortForwardOutput,
                               agent::v1::PortForwardInput>* stream) override;
};

// Serves an agent on a unix socket, one connection at a time. `agent` outlives
// the server.
class AgentServer {
 public:
  explicit AgentServer(ScriptedAgent* agent);
  ~AgentServer();

  ChannelPeer& peer() { return *peer_; }

 private:
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<ChannelPeer> peer_;
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_CLIENT_AGENT_SERVER_H_
