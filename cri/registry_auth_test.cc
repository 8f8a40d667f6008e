#include "cri/registry_auth.h"

#include "absl/strings/match.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

runtime::v1::AuthConfig PasswordFor(const char* server) {
  runtime::v1::AuthConfig auth;
  auth.set_username("me");
  auth.set_password("secret");
  auth.set_server_address(server);
  return auth;
}

TEST(RegistryAuthTest, CredentialsGoToTheirServerOnly) {
  struct Case {
    const char* server;
    const char* reference;
    bool given;
  };
  const Case cases[] = {
      {"", "busybox", true},
      {"https://index.docker.io/v1/", "busybox", true},
      {"docker.io", "library/busybox:1", true},
      {"registry.test:5000", "registry.test:5000/a/b@sha256:0", true},
      {"https://registry.test/v2/", "registry.test/a", true},
      {"localhost", "localhost/a", true},
      {"registry.test", "busybox", false},
      {"registry.test", "registry.test.evil/a", false},
      {"docker.io", "evil.test/a", false},
      {"registry.test:5000", "registry.test:5001/a", false},
  };
  for (const Case& c : cases) {
    const auto auth = ConvertAuth(PasswordFor(c.server), c.reference);

    ASSERT_TRUE(auth.ok());
    EXPECT_EQ(auth->password == "secret", c.given)
        << c.server << " for " << c.reference;
    EXPECT_EQ(auth->username == "me", c.given);
  }
}

TEST(RegistryAuthTest, AuthIsUserAndPasswordInBase64) {
  runtime::v1::AuthConfig auth;
  auth.set_auth("bWU6c2U6Y3JldA==");  // me:se:cret

  const auto converted = ConvertAuth(auth, "busybox");

  ASSERT_TRUE(converted.ok()) << converted.status();
  EXPECT_EQ(converted->username, "me");
  EXPECT_EQ(converted->password, "se:cret");
}

TEST(RegistryAuthTest, MalformedAuthIsRefusedWithoutRepeatingIt) {
  for (const char* text : {"!hunter2!", "bWU="}) {
    runtime::v1::AuthConfig auth;
    auth.set_auth(text);

    const absl::Status status = ConvertAuth(auth, "busybox").status();

    EXPECT_TRUE(absl::IsInvalidArgument(status));
    EXPECT_FALSE(absl::StrContains(status.message(), text));
  }
}

}  // namespace
}  // namespace podvisor
