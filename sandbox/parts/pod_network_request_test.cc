#include "sandbox/parts/pod_network_request.h"

#include "gtest/gtest.h"

namespace podvisor {
namespace {

std::string Bytes(std::initializer_list<int> bytes) {
  return std::string(bytes.begin(), bytes.end());
}

TEST(PodNetworkRequestTest, GatewaysAreReachableBeforeRoutesNameThem) {
  GuestNetwork network;
  const std::string gateway = Bytes({10, 1, 0, 1});
  network.routes.resize(3);
  network.routes[0].destination = Bytes({0, 0, 0, 0});
  network.routes[0].gateway = gateway;
  network.routes[1].destination = Bytes({10, 1, 0, 0});
  network.routes[1].prefix_length = 24;
  network.routes[1].gateway = gateway;
  network.routes[2].destination = gateway;
  network.routes[2].prefix_length = 32;
  network.routes[2].scope = 253;

  const agent::v1::ConfigureNetworkRequest request = ToAgentRequest(network);

  ASSERT_EQ(request.routes_size(), 3);
  EXPECT_EQ(request.routes(0).destination(), gateway);
  EXPECT_EQ(request.routes(0).scope(), 253u);
  EXPECT_EQ(request.routes(1).prefix_length(), 24u);
  EXPECT_EQ(request.routes(2).prefix_length(), 0u);
}

TEST(PodNetworkRequestTest, AMacAddressIsWrittenAsQemuWantsIt) {
  EXPECT_EQ(MacText(Bytes({2, 0, 10, 0xff, 0, 1})), "02:00:0a:ff:00:01");
}

TEST(PodNetworkRequestTest, TheNetworksDnsIsForPodsThatAskForNone) {
  PodSpec spec;
  PodLink link;
  link.dns_servers = {"10.0.0.10"};
  EXPECT_EQ(DnsOf(spec, link).servers[0], "10.0.0.10");

  spec.dns.searches = {"example.org"};
  EXPECT_TRUE(DnsOf(spec, link).servers.empty());
}

}  // namespace
}  // namespace podvisor
