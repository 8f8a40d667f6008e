#include "base/ids.h"

#include "gtest/gtest.h"

namespace podvisor {
namespace {

TEST(IdsTest, RandomIdsAreWellFormedAndDiffer) {
  const std::string a = RandomHexId(), b = RandomHexId();

  EXPECT_TRUE(IsHexId(a)) << a;
  EXPECT_NE(a, b);
}

TEST(IdsTest, OnlySixtyFourLowerCaseHexDigitsAreAnId) {
  const std::string good(64, 'a');
  EXPECT_TRUE(IsHexId(good));
  EXPECT_FALSE(IsHexId(good.substr(1)));
  EXPECT_FALSE(IsHexId(good + "a"));
  EXPECT_FALSE(IsHexId(std::string(64, 'A')));
  EXPECT_FALSE(IsHexId(std::string(63, 'a') + "/"));
  EXPECT_FALSE(IsHexId(std::string(64, '\0')));
}

}  // namespace
}  // namespace podvisor
