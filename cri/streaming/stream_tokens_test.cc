#include "cri/streaming/stream_tokens.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

class StreamTokensTest : public testing::Test {
 protected:
  StreamRequest Request(int number) {
    return PortForwardRequest{PodId(absl::StrCat(number))};
  }

  FakeClock clock_;
  StreamTokens tokens_{&clock_};
};

TEST_F(StreamTokensTest, ATokenWorksOnce) {
  const std::string token = tokens_.Add(Request(80)).value();

  EXPECT_EQ(tokens_.Take(token), Request(80));
  EXPECT_EQ(tokens_.Take(token), std::nullopt);
}

TEST_F(StreamTokensTest, ATokenCannotBeGuessed) {
  std::set<std::string> tokens;
  for (int i = 0; i < 100; ++i) tokens.insert(tokens_.Add(Request(1)).value());

  EXPECT_EQ(tokens.size(), 100u);
  EXPECT_EQ(tokens.begin()->size(), 64u) << "256 bits in hex";
  EXPECT_EQ(tokens_.Take(""), std::nullopt);
  EXPECT_EQ(tokens_.Take(tokens.begin()->substr(0, 63)), std::nullopt);
}

TEST_F(StreamTokensTest, ATokenExpires) {
  const std::string token = tokens_.Add(Request(80)).value();

  clock_.Advance(StreamTokens::kLifetime);

  EXPECT_EQ(tokens_.Take(token), std::nullopt);
}

TEST_F(StreamTokensTest, ClientsThatNeverComeKeepOthersOutForAMinuteAtMost) {
  for (size_t i = 0; i < StreamTokens::kMaxPending; ++i) {
    ASSERT_TRUE(tokens_.Add(Request(1)).ok());
  }
  EXPECT_TRUE(absl::IsResourceExhausted(tokens_.Add(Request(2)).status()));

  clock_.Advance(StreamTokens::kLifetime);

  EXPECT_TRUE(tokens_.Add(Request(2)).ok());
}

}  // namespace
}  // namespace podvisor
