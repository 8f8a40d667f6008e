#include "sandbox/parts/pod_network_request.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"

namespace podvisor {
namespace {

int Order(const GuestRoute& route) {
  if (route.gateway.empty()) return 0;
  return route.prefix_length > 0 ? 1 : 2;
}

}  // namespace

PodNetworkRequest NetworkRequestOf(const PodId& id, const PodSpec& spec) {
  PodNetworkRequest request;
  request.id = id;
  request.pod_name = spec.metadata.name;
  request.pod_namespace = spec.metadata.name_space;
  request.pod_uid = spec.metadata.uid;
  for (const HostPort& port : spec.host_ports) {
    request.ports.push_back(
        {port.host_port, port.container_port, port.protocol, port.host_ip});
  }
  request.ingress_rate = spec.shape.ingress_rate;
  request.egress_rate = spec.shape.egress_rate;
  request.dns_servers = spec.dns.servers;
  request.dns_searches = spec.dns.searches;
  request.dns_options = spec.dns.options;
  return request;
}

agent::v1::ConfigureNetworkRequest ToAgentRequest(const GuestNetwork& network) {
  agent::v1::ConfigureNetworkRequest request;
  request.set_mac(network.mac);
  request.set_mtu(static_cast<uint32_t>(network.mtu));
  for (const GuestAddress& from : network.addresses) {
    auto* address = request.add_addresses();
    address->set_address(from.address);
    address->set_prefix_length(static_cast<uint32_t>(from.prefix_length));
  }
  std::vector<GuestRoute> routes = network.routes;
  std::stable_sort(routes.begin(), routes.end(),
                   [](const GuestRoute& a, const GuestRoute& b) {
                     return Order(a) < Order(b);
                   });
  for (const GuestRoute& from : routes) {
    auto* route = request.add_routes();
    route->set_destination(from.destination);
    route->set_prefix_length(static_cast<uint32_t>(from.prefix_length));
    route->set_gateway(from.gateway);
    route->set_source(from.source);
    route->set_scope(static_cast<uint32_t>(from.scope));
    route->set_metric(from.metric);
    route->set_on_link(from.on_link);
  }
  for (const GuestNeighbour& from : network.neighbours) {
    auto* neighbour = request.add_neighbours();
    neighbour->set_address(from.address);
    neighbour->set_mac(from.mac);
  }
  return request;
}

std::string MacText(absl::string_view mac) {
  std::string text;
  for (const char byte : mac) {
    absl::StrAppend(&text, text.empty() ? "" : ":",
                    absl::Hex(static_cast<uint8_t>(byte), absl::kZeroPad2));
  }
  return text;
}

DnsConfig DnsOf(const PodSpec& spec, const PodLink& link) {
  if (spec.dns != DnsConfig()) return spec.dns;
  return {link.dns_servers, link.dns_searches, link.dns_options};
}

}  // namespace podvisor
