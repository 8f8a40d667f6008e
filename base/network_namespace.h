#ifndef PODVISOR_BASE_NETWORK_NAMESPACE_H_
#define PODVISOR_BASE_NETWORK_NAMESPACE_H_

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

namespace podvisor {

// Runs `work` in the network namespace that the file `path` is, on a thread of
// its own, and waits for it. Errors: those of `work`; NotFound, the kernel's.
absl::Status RunInNetworkNamespace(const std::string& path,
                                   absl::FunctionRef<absl::Status()> work);

// In the thread's network namespace: a new one has its loopback device down.
absl::Status BringLoopbackUp();

}  // namespace podvisor

#endif  // PODVISOR_BASE_NETWORK_NAMESPACE_H_
