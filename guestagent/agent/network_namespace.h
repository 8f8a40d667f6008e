#ifndef PODVISOR_GUESTAGENT_AGENT_NETWORK_NAMESPACE_H_
#define PODVISOR_GUESTAGENT_AGENT_NETWORK_NAMESPACE_H_

#include <functional>
#include <string>

#include "absl/status/status.h"

namespace podvisor {

// Runs `work` in the network namespace that the file `path` is, on a thread of
// its own, and waits for it. An empty path is the caller's own, where it just
// runs. Errors: those of `work`; NotFound, the kernel's.
absl::Status RunInNetworkNamespace(const std::string& path,
                                   const std::function<absl::Status()>& work);

// Gives the thread's network namespace, a new one, what a pod finds in one: a
// loopback device that is up, and the settings that other runtimes make. A
// setting that the kernel does not have is only logged.
absl::Status SetUpNetworkNamespace();

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_NETWORK_NAMESPACE_H_
