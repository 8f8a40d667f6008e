#include "guestagent/agent/hosts_file.h"

#include "absl/strings/match.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

TEST(HostsFileTest, TheHostNameStandsForEveryAddressOfThePod) {
  const std::string text = HostsFile("web", {"10.0.0.7", "fd00::7"});

  EXPECT_TRUE(absl::StartsWith(text, "127.0.0.1\tlocalhost\n"));
  EXPECT_TRUE(absl::EndsWith(text, "\n10.0.0.7\tweb\nfd00::7\tweb\n"));
  EXPECT_FALSE(absl::StrContains(text, "127.0.1.1"));
}

TEST(HostsFileTest, WithoutANetworkTheNameIsOnLoopback) {
  EXPECT_TRUE(absl::EndsWith(HostsFile("web", {}), "\n127.0.1.1\tweb\n"));
}

TEST(HostsFileTest, WithoutANameThereIsLoopbackOnly) {
  EXPECT_FALSE(absl::StrContains(HostsFile("", {"10.0.0.7"}), "10.0.0.7"));
}

}  // namespace
}  // namespace podvisor
