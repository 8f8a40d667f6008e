#ifndef PODVISOR_NETWORK_NETWORK_NAMESPACE_H_
#define PODVISOR_NETWORK_NETWORK_NAMESPACE_H_

#include <string>

#include "absl/status/status.h"

namespace podvisor {

// Network namespaces that are held by a bind mount at a path, as plugins want
// them. Nobody's process lives in them.

// Makes one with its loopback interface up and without duplicate address
// detection: a plugin would wait for more than a second for it, about addresses
// that its IPAM has just made sure of. What is at `path` is removed first.
absl::Status MakeNetworkNamespace(const std::string& path);

// Whether there is one at `path`; a file without a mount is none.
bool IsNetworkNamespace(const std::string& path);

// Lets go of it, and removes the file. The kernel keeps it while a tap of it is
// open. OK when nothing is there.
absl::Status RemoveNetworkNamespace(const std::string& path);

}  // namespace podvisor

#endif  // PODVISOR_NETWORK_NETWORK_NAMESPACE_H_
