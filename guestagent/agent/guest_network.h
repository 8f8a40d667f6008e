#ifndef PODVISOR_GUESTAGENT_AGENT_GUEST_NETWORK_H_
#define PODVISOR_GUESTAGENT_AGENT_GUEST_NETWORK_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "guestagent/agent.pb.h"
#include "guestagent/agent/kernel_modules.h"

namespace podvisor {

// Whether the request can be carried out: lengths, prefixes, counts. Pure.
// InvalidArgument.
absl::Status CheckNetworkRequest(
    const agent::v1::ConfigureNetworkRequest& request);

// The request's addresses in text, those that are none left out. Pure.
std::vector<std::string> AddressTexts(
    const agent::v1::ConfigureNetworkRequest& request);

// Sets up the guest's interface with the request's MAC address, which may take
// a moment to appear, in the network namespace that the file
// `network_namespace` is; empty: the agent's own. Twice is as once. Errors:
// CheckNetworkRequest()'s, DeadlineExceeded (no such interface came),
// Cancelled, the kernel's.
absl::Status ConfigureGuestNetwork(
    const agent::v1::ConfigureNetworkRequest& request, KernelModules* modules,
    const std::string& network_namespace,
    const std::function<bool()>& cancelled);

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_GUEST_NETWORK_H_
