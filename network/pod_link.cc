#include "network/pod_link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/tc_act/tc_mirred.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/file.h"
#include "base/status_macros.h"

namespace podvisor {
namespace {

constexpr char kTap[] = "tap0";

std::string Bytes(const NetlinkAttributes& attributes, uint16_t type) {
  const auto found = attributes.find(type);
  return found == attributes.end() ? "" : std::string(found->second);
}

uint32_t Number(const NetlinkAttributes& attributes, uint16_t type) {
  const auto found = attributes.find(type);
  return found == attributes.end() ? 0
                                   : AttributeValue<uint32_t>(found->second);
}

bool IsLinkLocal6(absl::string_view address) {
  return address.size() == 16 && static_cast<uint8_t>(address[0]) == 0xfe &&
         (static_cast<uint8_t>(address[1]) & 0xc0) == 0x80;
}

absl::Status ReadLink(NetlinkSocket& netlink, const std::string& name,
                      GuestNetwork* network) {
  NetlinkMessage dump(RTM_GETLINK, NLM_F_DUMP);
  dump.Append(ifinfomsg());
  return netlink.Dump(dump, "list interfaces", [&](const NetlinkReply& reply) {
    const NetlinkAttributes attributes = reply.Attributes(sizeof(ifinfomsg));
    if (Bytes(attributes, IFLA_IFNAME) == name + '\0') {
      network->mac = Bytes(attributes, IFLA_ADDRESS);
      network->mtu = static_cast<int>(Number(attributes, IFLA_MTU));
    }
    return absl::OkStatus();
  });
}

absl::Status ReadAddresses(NetlinkSocket& netlink, unsigned index,
                           GuestNetwork* network) {
  NetlinkMessage dump(RTM_GETADDR, NLM_F_DUMP);
  dump.Append(ifaddrmsg());
  return netlink.Dump(
      dump, "list addresses", [&](const NetlinkReply& reply) -> absl::Status {
        ASSIGN_OR_RETURN(const auto head, reply.Header<ifaddrmsg>());
        if (head.ifa_index != index) return absl::OkStatus();
        const NetlinkAttributes attributes = reply.Attributes(sizeof(head));
        // Of a link with a peer, IFA_ADDRESS is the peer's.
        std::string address = Bytes(attributes, IFA_LOCAL);
        if (address.empty()) address = Bytes(attributes, IFA_ADDRESS);
        if (IsLinkLocal6(address)) return absl::OkStatus();
        network->addresses.push_back({std::move(address), head.ifa_prefixlen});
        return absl::OkStatus();
      });
}

absl::StatusOr<GuestRoute> RouteFrom(const rtmsg& head,
                                     const NetlinkAttributes& attributes) {
  if (attributes.contains(RTA_MULTIPATH)) {
    return absl::UnimplementedError("a route with several hops");
  }
  GuestRoute route;
  route.destination = Bytes(attributes, RTA_DST);
  if (route.destination.empty()) {
    route.destination.resize(head.rtm_family == AF_INET ? 4 : 16);
  }
  route.prefix_length = head.rtm_dst_len;
  route.gateway = Bytes(attributes, RTA_GATEWAY);
  if (route.gateway.empty() && attributes.contains(RTA_VIA)) {
    // struct rtvia: the family of the gateway, then its address.
    route.gateway = Bytes(attributes, RTA_VIA).substr(sizeof(uint16_t));
  }
  route.source = Bytes(attributes, RTA_PREFSRC);
  route.scope = head.rtm_scope;
  route.metric = Number(attributes, RTA_PRIORITY);
  route.on_link = (head.rtm_flags & RTNH_F_ONLINK) != 0;
  return route;
}

absl::Status ReadRoutes(NetlinkSocket& netlink, unsigned index,
                        GuestNetwork* network) {
  NetlinkMessage dump(RTM_GETROUTE, NLM_F_DUMP);
  dump.Append(rtmsg());
  return netlink.Dump(
      dump, "list routes", [&](const NetlinkReply& reply) -> absl::Status {
        ASSIGN_OR_RETURN(const auto head, reply.Header<rtmsg>());
        const NetlinkAttributes attributes = reply.Attributes(sizeof(head));
        const bool ip =
            head.rtm_family == AF_INET || head.rtm_family == AF_INET6;
        if (!ip || head.rtm_table != RT_TABLE_MAIN ||
            head.rtm_type != RTN_UNICAST ||
            (head.rtm_flags & RTM_F_CLONED) != 0) {
          return absl::OkStatus();
        }
        if (!attributes.contains(RTA_MULTIPATH) &&
            Number(attributes, RTA_OIF) != index) {
          return absl::OkStatus();
        }
        ASSIGN_OR_RETURN(GuestRoute route, RouteFrom(head, attributes));
        if (IsLinkLocal6(route.destination)) return absl::OkStatus();
        network->routes.push_back(std::move(route));
        return absl::OkStatus();
      });
}

absl::Status ReadNeighbours(NetlinkSocket& netlink, unsigned index,
                            GuestNetwork* network) {
  NetlinkMessage dump(RTM_GETNEIGH, NLM_F_DUMP);
  dump.Append(ndmsg());
  return netlink.Dump(
      dump, "list neighbours", [&](const NetlinkReply& reply) -> absl::Status {
        ASSIGN_OR_RETURN(const auto head, reply.Header<ndmsg>());
        if (head.ndm_ifindex != static_cast<int>(index) ||
            (head.ndm_state & NUD_PERMANENT) == 0) {
          return absl::OkStatus();
        }
        const NetlinkAttributes attributes = reply.Attributes(sizeof(head));
        GuestNeighbour neighbour = {Bytes(attributes, NDA_DST),
                                    Bytes(attributes, NDA_LLADDR)};
        if (neighbour.mac.size() == ETH_ALEN) {
          network->neighbours.push_back(std::move(neighbour));
        }
        return absl::OkStatus();
      });
}

absl::StatusOr<UniqueFd> OpenTap() {
  UniqueFd fd(open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return ErrnoStatus(errno, "/dev/net/tun");
  ifreq request = {};
  memcpy(request.ifr_name, kTap, sizeof(kTap));
  // The header carries the offloads; without it traffic is three times slower.
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (ioctl(fd.get(), TUNSETIFF, &request) != 0) {
    return ErrnoStatus(errno, "make a tap");
  }
  return fd;
}

// The namespace's own stack has nothing to say on the cable.
absl::Status SilenceTap() {
  const std::string path =
      absl::StrCat("/proc/sys/net/ipv6/conf/", kTap, "/disable_ipv6");
  const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd.valid() && errno == ENOENT) return absl::OkStatus();
  if (!fd.valid()) return ErrnoStatus(errno, path);
  return WriteAll(fd.get(), "1");
}

absl::Status BringTapUp(NetlinkSocket& netlink, int tap, int mtu) {
  NetlinkMessage set(RTM_NEWLINK, NLM_F_ACK);
  ifinfomsg head = {};
  head.ifi_index = tap;
  head.ifi_flags = IFF_UP;
  head.ifi_change = IFF_UP;
  set.Append(head);
  set.AddValue(IFLA_MTU, static_cast<uint32_t>(mtu));
  return netlink.Request(set, "bring the tap up");
}

absl::Status AddIngress(NetlinkSocket& netlink, int index) {
  NetlinkMessage add(RTM_NEWQDISC, NLM_F_ACK | NLM_F_CREATE);
  tcmsg head = {};
  head.tcm_family = AF_UNSPEC;
  head.tcm_ifindex = index;
  head.tcm_handle = TC_H_MAKE(TC_H_INGRESS, 0);
  head.tcm_parent = TC_H_INGRESS;
  add.Append(head);
  add.AddText(TCA_KIND, "ingress");
  return netlink.Request(add, "add an ingress qdisc");
}

// u32 with one key that matches everything: not every kernel has matchall.
absl::Status Redirect(NetlinkSocket& netlink, int from, int to) {
  RETURN_IF_ERROR(AddIngress(netlink, from));
  NetlinkMessage add(RTM_NEWTFILTER, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL);
  tcmsg head = {};
  head.tcm_family = AF_UNSPEC;
  head.tcm_ifindex = from;
  head.tcm_parent = TC_H_MAKE(TC_H_INGRESS, 0);
  head.tcm_info = TC_H_MAKE(1U << 16, htons(ETH_P_ALL));  // priority 1
  add.Append(head);
  add.AddText(TCA_KIND, "u32");
  const size_t options = add.BeginNest(TCA_OPTIONS);
  tc_u32_sel selector = {};
  selector.flags = TC_U32_TERMINAL;
  selector.nkeys = 1;
  // The key follows, all zero: no bit of the packet matters.
  std::string everything(sizeof(selector) + sizeof(tc_u32_key), '\0');
  memcpy(everything.data(), &selector, sizeof(selector));
  add.Add(TCA_U32_SEL, everything);
  const size_t actions = add.BeginNest(TCA_U32_ACT);
  const size_t first = add.BeginNest(1);
  add.AddText(TCA_ACT_KIND, "mirred");
  const size_t mirred = add.BeginNest(TCA_ACT_OPTIONS);
  tc_mirred parameters = {};
  parameters.action = TC_ACT_STOLEN;
  parameters.eaction = TCA_EGRESS_REDIR;
  parameters.ifindex = static_cast<uint32_t>(to);
  add.AddValue(TCA_MIRRED_PARMS, parameters);
  add.EndNest(mirred);
  add.EndNest(first);
  add.EndNest(actions);
  add.EndNest(options);
  return netlink.Request(add, "redirect an interface");
}

}  // namespace

absl::StatusOr<GuestNetwork> ReadInterface(NetlinkSocket& netlink,
                                           const std::string& interface) {
  const unsigned index = if_nametoindex(interface.c_str());
  if (index == 0) {
    return absl::NotFoundError(
        absl::StrCat("the network plugin made no ", interface));
  }
  GuestNetwork network;
  RETURN_IF_ERROR(ReadLink(netlink, interface, &network));
  if (network.mac.size() != ETH_ALEN) {
    return absl::UnimplementedError(
        absl::StrCat(interface, " is no Ethernet interface"));
  }
  RETURN_IF_ERROR(ReadAddresses(netlink, index, &network));
  RETURN_IF_ERROR(ReadRoutes(netlink, index, &network));
  RETURN_IF_ERROR(ReadNeighbours(netlink, index, &network));
  return network;
}

absl::StatusOr<UniqueFd> ConnectTap(NetlinkSocket& netlink,
                                    const std::string& interface, int mtu) {
  ASSIGN_OR_RETURN(UniqueFd tap, OpenTap());
  const int tap_index = static_cast<int>(if_nametoindex(kTap));
  const int index = static_cast<int>(if_nametoindex(interface.c_str()));
  RETURN_IF_ERROR(SilenceTap());
  RETURN_IF_ERROR(BringTapUp(netlink, tap_index, mtu));
  RETURN_IF_ERROR(Redirect(netlink, index, tap_index));
  RETURN_IF_ERROR(Redirect(netlink, tap_index, index));
  return tap;
}

}  // namespace podvisor
