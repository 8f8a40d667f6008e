#include "guestagent/agent/guest_network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <net/if.h>
#include <sys/socket.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/file.h"
#include "base/netlink.h"
#include "base/network_namespace.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "guestagent/agent/network_namespace.h"
#include "guestagent/agent/poll_until.h"

namespace podvisor {
namespace {

using agent::v1::ConfigureNetworkRequest;

constexpr absl::Duration kPlugTime = absl::Seconds(20);
constexpr int kMaxItems = 1024;

bool IsAddress(absl::string_view bytes) {
  return bytes.size() == 4 || bytes.size() == 16;
}

uint8_t FamilyOf(absl::string_view address) {
  return address.size() == 4 ? AF_INET : AF_INET6;
}

struct Interface {
  int index = 0;
  std::string name;
};

// index 0: none has this address.
absl::StatusOr<Interface> FindInterface(NetlinkSocket& netlink,
                                        const std::string& mac) {
  Interface found;
  NetlinkMessage dump(RTM_GETLINK, NLM_F_DUMP);
  dump.Append(ifinfomsg());
  RETURN_IF_ERROR(netlink.Dump(
      dump, "list interfaces", [&](const NetlinkReply& reply) -> absl::Status {
        ASSIGN_OR_RETURN(const auto head, reply.Header<ifinfomsg>());
        NetlinkAttributes attributes = reply.Attributes(sizeof(head));
        if (attributes[IFLA_ADDRESS] == mac) {
          found.index = head.ifi_index;
          const absl::string_view name = attributes[IFLA_IFNAME];
          found.name = std::string(name.substr(0, name.find('\0')));
        }
        return absl::OkStatus();
      }));
  return found;
}

// A plugged interface appears where the agent is.
absl::Status MoveInterface(NetlinkSocket& from, const Interface& interface,
                           int network_namespace) {
  NetlinkMessage move(RTM_NEWLINK, NLM_F_ACK);
  ifinfomsg head = {};
  head.ifi_index = interface.index;
  move.Append(head);
  move.AddValue(IFLA_NET_NS_FD, static_cast<uint32_t>(network_namespace));
  return from.Request(move, "move the interface to the pod's namespace");
}

absl::StatusOr<Interface> AwaitInterface(
    NetlinkSocket& netlink, const std::string& mac,
    const std::function<bool()>& cancelled) {
  Interface interface;
  RETURN_IF_ERROR(Annotate(
      PollUntil(kPlugTime, cancelled,
                [&]() -> absl::StatusOr<bool> {
                  ASSIGN_OR_RETURN(interface, FindInterface(netlink, mac));
                  return interface.index != 0;
                }),
      "wait for the network interface"));
  return interface;
}

// A guest without IPv6 has no such files.
absl::Status SetIpv6(const std::string& name, const char* key) {
  const std::string path =
      absl::StrCat("/proc/sys/net/ipv6/conf/", name, "/", key);
  const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.valid() && errno == ENOENT) return absl::OkStatus();
  if (!fd.valid()) return ErrnoStatus(errno, path);
  return WriteAll(fd.get(), "0");
}

// The host says what the interface has, and nobody else: whoever shares the
// link could send itself the pod's traffic by an advertisement of routes. And
// nobody else can have the pod's addresses, so a listener need not wait for the
// second that detection takes.
absl::Status TrustOnlyTheHost(const std::string& name) {
  for (const char* key :
       {"accept_ra", "autoconf", "accept_redirects", "accept_dad"}) {
    RETURN_IF_ERROR(SetIpv6(name, key));
  }
  return absl::OkStatus();
}

// Containers find the interface under the name that they have elsewhere. Up
// only afterwards: an interface that is up keeps its name.
absl::Status BringUp(NetlinkSocket& netlink, const Interface& interface,
                     uint32_t mtu) {
  NetlinkMessage rename(RTM_NEWLINK, NLM_F_ACK);
  ifinfomsg head = {};
  head.ifi_index = interface.index;
  rename.Append(head);
  if (interface.name != "eth0") rename.AddText(IFLA_IFNAME, "eth0");
  rename.AddValue(IFLA_MTU, mtu);
  RETURN_IF_ERROR(netlink.Request(rename, "set the interface's name and MTU"));
  RETURN_IF_ERROR(TrustOnlyTheHost("eth0"));
  NetlinkMessage up(RTM_NEWLINK, NLM_F_ACK);
  head.ifi_flags = IFF_UP;
  head.ifi_change = IFF_UP;
  up.Append(head);
  return netlink.Request(up, "bring the interface up");
}

absl::Status AddAddress(NetlinkSocket& netlink, int index,
                        const agent::v1::InterfaceAddress& address) {
  NetlinkMessage add(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE);
  ifaddrmsg head = {};
  head.ifa_family = FamilyOf(address.address());
  head.ifa_prefixlen = static_cast<uint8_t>(address.prefix_length());
  head.ifa_index = static_cast<unsigned>(index);
  add.Append(head);
  add.Add(IFA_LOCAL, address.address());
  add.Add(IFA_ADDRESS, address.address());
  // All routes are given: a plugin may have taken the link's own away.
  add.AddValue(IFA_FLAGS, uint32_t{IFA_F_NOPREFIXROUTE | IFA_F_NODAD});
  return netlink.Request(add, "add an address");
}

absl::Status AddNeighbour(NetlinkSocket& netlink, int index,
                          const agent::v1::Neighbour& neighbour) {
  NetlinkMessage add(RTM_NEWNEIGH, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE);
  ndmsg head = {};
  head.ndm_family = FamilyOf(neighbour.address());
  head.ndm_ifindex = index;
  head.ndm_state = NUD_PERMANENT;
  add.Append(head);
  add.Add(NDA_DST, neighbour.address());
  add.Add(NDA_LLADDR, neighbour.mac());
  return netlink.Request(add, "add a neighbour");
}

absl::Status AddRoute(NetlinkSocket& netlink, int index,
                      const agent::v1::Route& route) {
  NetlinkMessage add(RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE);
  rtmsg head = {};
  head.rtm_family = FamilyOf(route.destination());
  head.rtm_dst_len = static_cast<uint8_t>(route.prefix_length());
  head.rtm_table = RT_TABLE_MAIN;
  head.rtm_protocol = RTPROT_STATIC;
  head.rtm_scope = static_cast<uint8_t>(route.scope());
  head.rtm_type = RTN_UNICAST;
  if (route.on_link()) head.rtm_flags = RTNH_F_ONLINK;
  add.Append(head);
  if (route.prefix_length() > 0) add.Add(RTA_DST, route.destination());
  if (route.gateway().size() == route.destination().size()) {
    add.Add(RTA_GATEWAY, route.gateway());
  } else if (!route.gateway().empty()) {
    const uint16_t family = FamilyOf(route.gateway());
    add.Add(RTA_VIA, absl::StrCat(absl::string_view(
                                      reinterpret_cast<const char*>(&family),
                                      sizeof(family)),
                                  route.gateway()));
  }
  if (!route.source().empty()) add.Add(RTA_PREFSRC, route.source());
  if (route.metric() != 0) add.AddValue(RTA_PRIORITY, route.metric());
  add.AddValue(RTA_OIF, static_cast<uint32_t>(index));
  return netlink.Request(add, "add a route");
}

// Waits for the interface where the agent is, and moves it, unless an earlier
// call did.
absl::Status BringInterface(const std::string& mac,
                            const std::string& network_namespace,
                            const std::function<bool()>& cancelled) {
  Interface there;
  RETURN_IF_ERROR(
      RunInNetworkNamespace(network_namespace, [&]() -> absl::Status {
        ASSIGN_OR_RETURN(NetlinkSocket netlink, NetlinkSocket::Open());
        ASSIGN_OR_RETURN(there, FindInterface(netlink, mac));
        return absl::OkStatus();
      }));
  if (there.index != 0) return absl::OkStatus();
  const UniqueFd target(open(network_namespace.c_str(), O_RDONLY | O_CLOEXEC));
  if (!target.valid()) return ErrnoStatus(errno, network_namespace);
  ASSIGN_OR_RETURN(NetlinkSocket netlink, NetlinkSocket::Open());
  ASSIGN_OR_RETURN(const Interface interface,
                   AwaitInterface(netlink, mac, cancelled));
  return MoveInterface(netlink, interface, target.get());
}

absl::Status ConfigureHere(const ConfigureNetworkRequest& request,
                           const std::function<bool()>& cancelled) {
  ASSIGN_OR_RETURN(NetlinkSocket netlink, NetlinkSocket::Open());
  ASSIGN_OR_RETURN(const Interface interface,
                   AwaitInterface(netlink, request.mac(), cancelled));
  RETURN_IF_ERROR(BringUp(netlink, interface, request.mtu()));
  for (const agent::v1::InterfaceAddress& address : request.addresses()) {
    RETURN_IF_ERROR(AddAddress(netlink, interface.index, address));
  }
  for (const agent::v1::Neighbour& neighbour : request.neighbours()) {
    RETURN_IF_ERROR(AddNeighbour(netlink, interface.index, neighbour));
  }
  for (const agent::v1::Route& route : request.routes()) {
    RETURN_IF_ERROR(AddRoute(netlink, interface.index, route));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckNetworkRequest(const ConfigureNetworkRequest& request) {
  if (request.mac().size() != ETH_ALEN) {
    return absl::InvalidArgumentError("not a MAC address");
  }
  if (request.mtu() < 68 || request.mtu() > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("MTU ", request.mtu()));
  }
  if (request.addresses_size() > kMaxItems ||
      request.routes_size() > kMaxItems ||
      request.neighbours_size() > kMaxItems) {
    return absl::InvalidArgumentError(
        absl::StrCat("more than ", kMaxItems, " of a kind"));
  }
  for (const agent::v1::InterfaceAddress& address : request.addresses()) {
    if (!IsAddress(address.address()) ||
        address.prefix_length() > 8 * address.address().size()) {
      return absl::InvalidArgumentError("not an address");
    }
  }
  for (const agent::v1::Route& route : request.routes()) {
    if (!IsAddress(route.destination()) ||
        route.prefix_length() > 8 * route.destination().size() ||
        (!route.gateway().empty() && !IsAddress(route.gateway())) ||
        (!route.source().empty() &&
         route.source().size() != route.destination().size()) ||
        route.scope() > 255) {
      return absl::InvalidArgumentError("not a route");
    }
  }
  for (const agent::v1::Neighbour& neighbour : request.neighbours()) {
    if (!IsAddress(neighbour.address()) || neighbour.mac().size() != ETH_ALEN) {
      return absl::InvalidArgumentError("not a neighbour");
    }
  }
  return absl::OkStatus();
}

std::vector<std::string> AddressTexts(const ConfigureNetworkRequest& request) {
  std::vector<std::string> texts;
  for (const agent::v1::InterfaceAddress& address : request.addresses()) {
    char text[INET6_ADDRSTRLEN];
    if (IsAddress(address.address()) &&
        inet_ntop(FamilyOf(address.address()), address.address().data(), text,
                  sizeof(text)) != nullptr) {
      texts.emplace_back(text);
    }
  }
  return texts;
}

absl::Status ConfigureGuestNetwork(const ConfigureNetworkRequest& request,
                                   KernelModules* modules,
                                   const std::string& network_namespace,
                                   const std::function<bool()>& cancelled) {
  RETURN_IF_ERROR(CheckNetworkRequest(request));
  RETURN_IF_ERROR(modules->Load("virtio_net"));
  if (!network_namespace.empty()) {
    RETURN_IF_ERROR(
        BringInterface(request.mac(), network_namespace, cancelled));
  }
  return RunInPodNetwork(network_namespace,
                         [&] { return ConfigureHere(request, cancelled); });
}

}  // namespace podvisor
