#include "guestagent/agent/guest_network.h"

#include <string>

#include "gtest/gtest.h"

namespace podvisor {
namespace {

agent::v1::ConfigureNetworkRequest Good() {
  agent::v1::ConfigureNetworkRequest request;
  request.set_mac("\x02\x01\x01\x01\x01\x01");
  request.set_mtu(1450);
  auto* address = request.add_addresses();
  address->set_address(std::string(16, 'a'));
  address->set_prefix_length(64);
  auto* route = request.add_routes();
  route->set_destination(std::string(4, '\0'));
  route->set_gateway("abcd");
  auto* neighbour = request.add_neighbours();
  neighbour->set_address("abcd");
  neighbour->set_mac("abcdef");
  return request;
}

TEST(CheckNetworkRequestTest, TakesAddressesOfBothFamilies) {
  EXPECT_TRUE(CheckNetworkRequest(Good()).ok());
}

TEST(CheckNetworkRequestTest, RefusesWhatCannotBe) {
  using Request = agent::v1::ConfigureNetworkRequest;
  void (*const mistakes[])(Request&) = {
      [](Request& r) { r.set_mac("short"); },
      [](Request& r) { r.set_mtu(67); },
      [](Request& r) { r.set_mtu(65536); },
      [](Request& r) { r.mutable_addresses(0)->set_address("abc"); },
      [](Request& r) { r.mutable_addresses(0)->set_prefix_length(129); },
      [](Request& r) { r.mutable_routes(0)->set_prefix_length(33); },
      [](Request& r) { r.mutable_routes(0)->set_destination(""); },
      [](Request& r) { r.mutable_routes(0)->set_gateway("abc"); },
      [](Request& r) { r.mutable_routes(0)->set_source("abc"); },
      [](Request& r) { r.mutable_routes(0)->set_scope(256); },
      [](Request& r) { r.mutable_neighbours(0)->set_mac(""); },
      [](Request& r) { r.mutable_neighbours(0)->set_address(""); },
      [](Request& r) {
        for (int i = 0; i < 1024; ++i) *r.add_routes() = r.routes(0);
      },
  };
  for (size_t i = 0; i < std::size(mistakes); ++i) {
    Request request = Good();
    mistakes[i](request);
    EXPECT_TRUE(absl::IsInvalidArgument(CheckNetworkRequest(request))) << i;
  }
}

TEST(AddressTextsTest, AddressesOfBothFamiliesAreReadable) {
  agent::v1::ConfigureNetworkRequest request = Good();
  request.add_addresses()->set_address(std::string("\x0a\0\0\x07", 4));
  EXPECT_EQ(AddressTexts(request),
            (std::vector<std::string>{"6161:6161:6161:6161:6161:6161:6161:6161",
                                      "10.0.0.7"}));
}

}  // namespace
}  // namespace podvisor
