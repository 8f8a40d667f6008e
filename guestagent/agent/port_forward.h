#ifndef PODVISOR_GUESTAGENT_AGENT_PORT_FORWARD_H_
#define PODVISOR_GUESTAGENT_AGENT_PORT_FORWARD_H_

#include <atomic>

#include "absl/status/status.h"
#include "grpcpp/grpcpp.h"
#include "guestagent/agent.grpc.pb.h"
#include "guestagent/agent.pb.h"

namespace podvisor {

// Serves the PortForward calls: see agent.proto. Ports are those of the pod's
// network namespace, which in the guest is the agent's own.
//
// Keeps at most one message in each direction: who does not read makes the
// other side wait. Thread-safe; calls run side by side and block their thread.
class PortForwards {
 public:
  using Stream = grpc::ServerReaderWriter<agent::v1::PortForwardOutput,
                                          agent::v1::PortForwardInput>;
  static constexpr int kMaxOpen = 64;

  absl::Status Serve(grpc::ServerContext* context, Stream* stream);

  // Calls that are being served.
  int open() const { return open_; }

 private:
  std::atomic<int> open_{0};
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_PORT_FORWARD_H_
