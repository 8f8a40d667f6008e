#ifndef PODVISOR_GUESTAGENT_AGENT_PORT_FORWARD_H_
#define PODVISOR_GUESTAGENT_AGENT_PORT_FORWARD_H_

#include <atomic>
#include <string>

#include "absl/status/status.h"
#include "grpcpp/grpcpp.h"
#include "guestagent/agent.grpc.pb.h"
#include "guestagent/agent.pb.h"

namespace podvisor {

// Serves the PortForward calls: see agent.proto. Ports are those of the pod's
// network namespace.
//
// Keeps at most one message in each direction: who does not read makes the
// other side wait. Thread-safe; calls run side by side and block their thread.
class PortForwards {
 public:
  using Stream = grpc::ServerReaderWriter<agent::v1::PortForwardOutput,
                                          agent::v1::PortForwardInput>;
  static constexpr int kMaxOpen = 64;

  // `network_namespace` is a path; empty: the agent's own.
  absl::Status Serve(const std::string& network_namespace,
                     grpc::ServerContext* context, Stream* stream);

  // Calls that are being served.
  int open() const { return open_; }

 private:
  std::atomic<int> open_{0};
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_PORT_FORWARD_H_
