#include "network/cni_result.h"

#include "gtest/gtest.h"

namespace podvisor {
namespace {

TEST(CniResultTest, ReadsResultsOfAllVersions) {
  for (const char* text : {
           R"({"cniVersion":"0.3.1","ips":[{"version":"4","interface":0,
               "address":"10.1.0.2/24","gateway":"10.1.0.1"}],
               "interfaces":[{"name":"eth0","sandbox":"/n"}]})",
           R"({"cniVersion":"1.0.0","ips":[{"address":"10.1.0.2/24"}]})",
           R"({"cniVersion":"1.1.0","ips":[{"address":"10.1.0.2/24"}],
               "interfaces":[{"name":"eth0","mtu":1500,"sandbox":"/n"}]})",
       }) {
    const absl::StatusOr<CniResult> result = ParseCniResult(text);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->ips, std::vector<std::string>{"10.1.0.2"});
  }
}

TEST(CniResultTest, HasAllAddressesOfThePodInOrderAndCanonical) {
  const CniResult result =
      ParseCniResult(R"({"interfaces":[{"name":"br0"},{"name":"eth0",
        "sandbox":"/n"}],"ips":[{"interface":1,"address":"FD00:0::2/64"},
        {"interface":0,"address":"10.1.0.1/24"},
        {"interface":1,"address":"10.1.0.2/24"}]})")
          .value();

  EXPECT_EQ(result.ips, (std::vector<std::string>{"fd00::2", "10.1.0.2"}));
}

TEST(CniResultTest, HasWhatTheNetworkKnowsOfDns) {
  const CniResult result =
      ParseCniResult(R"({"dns":{"nameservers":["10.0.0.10"],"search":["a.b"],
        "options":["ndots:5"]}})")
          .value();

  EXPECT_EQ(result.dns_servers[0], "10.0.0.10");
  EXPECT_EQ(result.dns_searches[0], "a.b");
  EXPECT_EQ(result.dns_options[0], "ndots:5");
}

TEST(CniResultTest, RefusesWhatIsNoResult) {
  for (const char* text : {
           "",
           "garbage",
           "[]",
           R"({"ips":7})",
           R"({"ips":[7]})",
           R"({"ips":[{}]})",
           R"({"ips":[{"address":7}]})",
           R"({"ips":[{"address":"10.1.0/24"}]})",
           R"({"ips":[{"address":"10.1.0.2;rm/24"}]})",
           R"({"ips":[{"address":"10.1.0.2/24"}],"ips":[]})",
           R"({"ips":[{"address":"10.1.0.2/24"}],"x":NaN})",
           R"({"dns":[]})",
           R"({"dns":{"nameservers":"x"}})",
           R"({"dns":{"nameservers":["a\nnameserver b"]}})",
           R"({"dns":{"search":[""]}})",
       }) {
    EXPECT_TRUE(absl::IsDataLoss(ParseCniResult(text).status())) << text;
  }
  std::string many = R"({"ips":[{"address":"10.0.0.1/8"})";
  for (int i = 0; i < 100; ++i) many += R"(,{"address":"10.0.0.1/8"})";
  EXPECT_FALSE(ParseCniResult(many + "]}").ok());
}

TEST(CniErrorTest, QuotesThePluginInOneLine) {
  const absl::Status error = CniError(
      "ptp", 1, R"({"code":999,"msg":"no\nroom","details":"pool"})", "");

  EXPECT_EQ(error.code(), absl::StatusCode::kInternal);
  EXPECT_NE(error.message().find("CNI plugin ptp: no"), std::string::npos);
  EXPECT_EQ(error.message().find('\n'), std::string::npos);
}

TEST(CniErrorTest, TryAgainLaterIsUnavailable) {
  EXPECT_TRUE(absl::IsUnavailable(
      CniError("ptp", 1, R"({"code":11,"msg":"later"})", "")));
}

TEST(CniErrorTest, WithoutJsonTheEndAndTheLastWordsAreTold) {
  const absl::Status error = CniError("ptp", 139, "garbage", "Segfault\x1b[2J");

  EXPECT_NE(error.message().find("139"), std::string::npos);
  EXPECT_NE(error.message().find("Segfault"), std::string::npos);
  EXPECT_EQ(error.message().find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace podvisor
