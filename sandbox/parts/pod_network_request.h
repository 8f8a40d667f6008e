#ifndef PODVISOR_SANDBOX_PARTS_POD_NETWORK_REQUEST_H_
#define PODVISOR_SANDBOX_PARTS_POD_NETWORK_REQUEST_H_

#include <string>

#include "absl/strings/string_view.h"
#include "base/ids.h"
#include "guestagent/agent.pb.h"
#include "network/pod_network.h"
#include "sandbox/record/pod_spec.h"

namespace podvisor {

// Conversions between a pod, its network and its guest. Pure.

PodNetworkRequest NetworkRequestOf(const PodId& id, const PodSpec& spec);

// The routes in the order in which a kernel takes them: those on the link, by
// which gateways are reached, then those by a gateway, the default ones last.
agent::v1::ConfigureNetworkRequest ToAgentRequest(const GuestNetwork& network);

// "02:00:00:00:00:01" for 6 bytes.
std::string MacText(absl::string_view mac);

// What the pod asks for, or else what its network knows; empty: neither.
DnsConfig DnsOf(const PodSpec& spec, const PodLink& link);

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_PARTS_POD_NETWORK_REQUEST_H_
