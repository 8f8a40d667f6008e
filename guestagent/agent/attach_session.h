#ifndef PODVISOR_GUESTAGENT_AGENT_ATTACH_SESSION_H_
#define PODVISOR_GUESTAGENT_AGENT_ATTACH_SESSION_H_

#include "absl/status/status.h"
#include "guestagent/agent/container_entry.h"
#include "guestagent/agent/container_runtime.h"

namespace podvisor {

// Serves one Attach call after its first message: see agent.proto.
//
// A container that is gone has this peer wait up to 10 s for the end of its
// output, which is in its pipes while nobody takes the log. However the call
// ends, a peer that gives input is then done with it.
absl::Status RunAttachSession(const ContainerEntry& entry, bool with_stdin,
                              grpc::ServerContext* context,
                              ContainerRuntime::AttachStream* stream);

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_ATTACH_SESSION_H_
