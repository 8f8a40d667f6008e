#include "guestagent/client/agent_server.h"

#include <fcntl.h>
#include <poll.h>

#include <utility>

#include "absl/time/clock.h"
#include "grpc/grpc.h"
#include "grpcpp/server_builder.h"
#include "grpcpp/server_posix.h"

namespace podvisor {
namespace {

template <typename Response>
auto AnswerNothing() {
  return [](grpc::ServerContext*, const auto*, Response*) {
    return grpc::Status::OK;
  };
}

template <typename Request>
auto AnswerResources() {
  return [](grpc::ServerContext*, const Request*,
            agent::v1::GuestResources* response) {
    *response = ScriptedAgent::GoodResources();
    return grpc::Status::OK;
  };
}

void WaitForHangUp(int fd) {
  pollfd polled = {fd, POLLRDHUP, 0};
  poll(&polled, 1, -1);
}

}  // namespace

ScriptedAgent::ScriptedAgent()
    : hello([](auto*, const auto*, agent::v1::HelloResponse* response) {
        response->set_protocol_version(1);
        return grpc::Status::OK;
      }),
      power_off(AnswerNothing<agent::v1::PowerOffResponse>()),
      observe(AnswerResources<agent::v1::ObserveResourcesRequest>()),
      set_cpus(AnswerResources<agent::v1::SetOnlineCpusRequest>()),
      await_memory(AnswerResources<agent::v1::AwaitMemoryRequest>()),
      reclaim_memory(AnswerResources<agent::v1::ReclaimMemoryRequest>()),
      create(AnswerNothing<agent::v1::CreateContainerResponse>()),
      list(AnswerNothing<agent::v1::ListContainersResponse>()),
      stats([](auto*, const auto*, agent::v1::GetStatsResponse* response) {
        *response->mutable_resources() = GoodResources();
        return grpc::Status::OK;
      }),
      watch([](grpc::ServerContext* context, auto*, auto*) {
        return Hang(context);
      }),
      output([](grpc::ServerContext* context, auto*) { return Hang(context); }),
      exec([](grpc::ServerContext* context, auto*) { return Hang(context); }),
      attach([](grpc::ServerContext* context, auto*) { return Hang(context); }),
      port_forward(
          [](grpc::ServerContext* context, auto*) { return Hang(context); }) {}

agent::v1::GuestResources ScriptedAgent::GoodResources() {
  agent::v1::GuestResources resources;
  resources.set_cpus_online(1);
  resources.set_cpus_present(1);
  resources.set_memory_total_bytes(256 << 20);
  resources.set_memory_total_at_boot_bytes(256 << 20);
  resources.set_memory_available_bytes(128 << 20);
  resources.set_memory_block_bytes(128 << 20);
  return resources;
}

grpc::Status ScriptedAgent::Hang(grpc::ServerContext* context) {
  // The sync API has no better way to be told.
  while (!context->IsCancelled()) absl::SleepFor(absl::Milliseconds(1));
  return grpc::Status::CANCELLED;
}

grpc::Status ScriptedAgent::Hello(grpc::ServerContext* context,
                                  const agent::v1::HelloRequest* request,
                                  agent::v1::HelloResponse* response) {
  return hello(context, request, response);
}

grpc::Status ScriptedAgent::PowerOff(grpc::ServerContext* context,
                                     const agent::v1::PowerOffRequest* request,
                                     agent::v1::PowerOffResponse* response) {
  return power_off(context, request, response);
}

grpc::Status ScriptedAgent::ObserveResources(
    grpc::ServerContext* context,
    const agent::v1::ObserveResourcesRequest* request,
    agent::v1::GuestResources* response) {
  return observe(context, request, response);
}

grpc::Status ScriptedAgent::SetOnlineCpus(
    grpc::ServerContext* context,
    const agent::v1::SetOnlineCpusRequest* request,
    agent::v1::GuestResources* response) {
  return set_cpus(context, request, response);
}

grpc::Status ScriptedAgent::AwaitMemory(
    grpc::ServerContext* context, const agent::v1::AwaitMemoryRequest* request,
    agent::v1::GuestResources* response) {
  return await_memory(context, request, response);
}

grpc::Status ScriptedAgent::ReclaimMemory(
    grpc::ServerContext* context,
    const agent::v1::ReclaimMemoryRequest* request,
    agent::v1::GuestResources* response) {
  return reclaim_memory(context, request, response);
}

grpc::Status ScriptedAgent::CreateContainer(
    grpc::ServerContext* context,
    const agent::v1::CreateContainerRequest* request,
    agent::v1::CreateContainerResponse* response) {
  return create(context, request, response);
}

grpc::Status ScriptedAgent::ListContainers(
    grpc::ServerContext* context,
    const agent::v1::ListContainersRequest* request,
    agent::v1::ListContainersResponse* response) {
  return list(context, request, response);
}

grpc::Status ScriptedAgent::GetStats(grpc::ServerContext* context,
                                     const agent::v1::GetStatsRequest* request,
                                     agent::v1::GetStatsResponse* response) {
  return stats(context, request, response);
}

grpc::Status ScriptedAgent::ReadCgroup(
    grpc::ServerContext* context, const agent::v1::ReadCgroupRequest* request,
    agent::v1::ReadCgroupResponse* response) {
  if (read_cgroup == nullptr) {
    return Service::ReadCgroup(context, request, response);
  }
  return read_cgroup(context, request, response);
}

grpc::Status ScriptedAgent::WatchExits(
    grpc::ServerContext* context, const agent::v1::WatchExitsRequest* request,
    grpc::ServerWriter<agent::v1::ContainerExit>* writer) {
  return watch(context, request, writer);
}

grpc::Status ScriptedAgent::StreamOutput(
    grpc::ServerContext* context,
    grpc::ServerReaderWriter<agent::v1::OutputChunk, agent::v1::OutputRequest>*
        stream) {
  return output(context, stream);
}

grpc::Status ScriptedAgent::Exec(
    grpc::ServerContext* context,
    grpc::ServerReaderWriter<agent::v1::ExecOutput, agent::v1::ExecInput>*
        stream) {
  return exec(context, stream);
}

grpc::Status ScriptedAgent::Attach(
    grpc::ServerContext* context,
    grpc::ServerReaderWriter<agent::v1::AttachOutput, agent::v1::AttachInput>*
        stream) {
  return attach(context, stream);
}

grpc::Status ScriptedAgent::PortForward(
    grpc::ServerContext* context,
    grpc::ServerReaderWriter<agent::v1::PortForwardOutput,
                             agent::v1::PortForwardInput>* stream) {
  return port_forward(context, stream);
}

AgentServer::AgentServer(ScriptedAgent* agent) {
  // Keeps gRPC up between the tests of a process: when its last user goes, it
  // may wait 10 s for a poller of its own.
  static const bool kept = (grpc_init(), true);
  static_cast<void>(kept);
  grpc::ServerBuilder builder;
  builder.RegisterService(agent);
  builder.SetMaxReceiveMessageSize(-1);
  server_ = builder.BuildAndStart();
  peer_ = std::make_unique<ChannelPeer>(
      [this](int, UniqueFd fd, const ChannelHello& hello) {
        if (!SendAck(fd.get(), hello)) return;
        const UniqueFd watched(fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
        fcntl(fd.get(), F_SETFL, O_NONBLOCK);
        grpc::AddInsecureChannelFromFd(server_.get(), fd.Release());
        WaitForHangUp(watched.get());
      });
}

AgentServer::~AgentServer() {
  peer_ = nullptr;
  // Cancels the calls that hang.
  server_->Shutdown(absl::ToChronoTime(absl::Now()));
}

}  // namespace podvisor
