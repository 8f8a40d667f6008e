#include "guestagent/client/agent_secret.h"

#include <string>

#include "gtest/gtest.h"

namespace podvisor {
namespace {

TEST(AgentSecretTest, HexRoundTrips) {
  const AgentSecret secret = AgentSecret::Random();

  EXPECT_EQ(secret.ToHex().size(), 32u);
  EXPECT_EQ(*AgentSecret::FromHex(secret.ToHex()), secret);
}

TEST(AgentSecretTest, NoTwoSecretsAreEqual) {
  EXPECT_FALSE(AgentSecret::Random() == AgentSecret::Random());
}

TEST(AgentSecretTest, OnlyExactHexIsAccepted) {
  const std::string bad[] = {"",
                             std::string(31, 'a'),
                             std::string(33, 'a'),
                             std::string(32, 'A'),
                             std::string(32, 'g'),
                             std::string(32, '\0'),
                             " " + std::string(31, 'a')};
  for (const std::string& text : bad) {
    const absl::StatusOr<AgentSecret> secret = AgentSecret::FromHex(text);

    EXPECT_TRUE(absl::IsInvalidArgument(secret.status())) << text;
  }
}

}  // namespace
}  // namespace podvisor
