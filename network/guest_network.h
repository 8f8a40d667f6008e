#ifndef PODVISOR_NETWORK_GUEST_NETWORK_H_
#define PODVISOR_NETWORK_GUEST_NETWORK_H_

#include <cstdint>
#include <string>
#include <vector>

namespace podvisor {

// What a pod's interface has, as the kernel says it: addresses are 4 or 16
// bytes in network order, MAC addresses 6. Values.

struct GuestAddress {
  std::string address;
  int prefix_length = 0;

  bool operator==(const GuestAddress&) const = default;
};

struct GuestRoute {
  std::string destination;  // as long as the family's addresses, also for 0/0
  int prefix_length = 0;
  std::string gateway;  // empty: the destination is on the link
  std::string source;   // preferred; empty: the kernel chooses
  int scope = 0;        // RT_SCOPE_*
  uint32_t metric = 0;
  bool on_link = false;  // the gateway is, whatever the addresses say

  bool operator==(const GuestRoute&) const = default;
};

struct GuestNeighbour {
  std::string address;
  std::string mac;

  bool operator==(const GuestNeighbour&) const = default;
};

struct GuestNetwork {
  std::string mac;
  int mtu = 0;
  std::vector<GuestAddress> addresses;
  std::vector<GuestRoute> routes;
  std::vector<GuestNeighbour> neighbours;  // permanent ones

  bool operator==(const GuestNetwork&) const = default;
};

}  // namespace podvisor

#endif  // PODVISOR_NETWORK_GUEST_NETWORK_H_
