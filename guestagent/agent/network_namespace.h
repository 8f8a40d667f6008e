#ifndef PODVISOR_GUESTAGENT_AGENT_NETWORK_NAMESPACE_H_
#define PODVISOR_GUESTAGENT_AGENT_NETWORK_NAMESPACE_H_

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

namespace podvisor {

// Runs `work` where the pod's interfaces are: in the network namespace that the
// file `path` is, as RunInNetworkNamespace() does, or, where it is empty, in
// the agent's own, on the caller's thread.
absl::Status RunInPodNetwork(const std::string& path,
                             absl::FunctionRef<absl::Status()> work);

// Gives the thread's network namespace, a new one, what a pod finds in one: a
// loopback device that is up, and the settings that other runtimes make. A
// setting that the kernel does not have is only logged.
absl::Status SetUpNetworkNamespace();

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_NETWORK_NAMESPACE_H_
