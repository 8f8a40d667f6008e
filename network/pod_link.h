#ifndef PODVISOR_NETWORK_POD_LINK_H_
#define PODVISOR_NETWORK_POD_LINK_H_

#include <string>

#include "absl/status/statusor.h"
#include "base/netlink.h"
#include "base/unique_fd.h"
#include "network/guest_network.h"

namespace podvisor {

// These work in the network namespace of the calling thread, in which `netlink`
// was opened.

// What `interface` has: MAC, MTU, addresses, routes and permanent neighbours.
// Of each what the guest's kernel would not add by itself: no link-local
// addresses, no local, broadcast and multicast routes. Errors: NotFound (no
// such interface), Unimplemented (a route of several hops).
absl::StatusOr<GuestNetwork> ReadInterface(NetlinkSocket& netlink,
                                           const std::string& interface);

// Makes a tap and redirects all that comes in at either to the other one's way
// out, so that the interface's peer and whoever holds the tap are on one cable.
// The tap is gone when its last descriptor is closed.
absl::StatusOr<UniqueFd> ConnectTap(NetlinkSocket& netlink,
                                    const std::string& interface, int mtu);

}  // namespace podvisor

#endif  // PODVISOR_NETWORK_POD_LINK_H_
