#include "guestagent/cpu_weight.h"

#include "gtest/gtest.h"

namespace podvisor {
namespace {

TEST(CpuWeightTest, SharesBecomeTheWeightThatOtherRuntimesGiveThem) {
  const struct {
    int64_t shares, weight;
  } kCases[] = {{0, 1},     {2, 1},     {102, 4},        {512, 20},
                {1024, 39}, {2048, 79}, {262144, 10000}, {1 << 30, 10000}};
  for (const auto& test : kCases) {
    EXPECT_EQ(CpuWeightFromShares(test.shares), test.weight) << test.shares;
  }
}

TEST(CpuWeightTest, EveryWeightHasSharesThatHaveIt) {
  for (int64_t weight = 1; weight <= 10000; ++weight) {
    EXPECT_EQ(CpuWeightFromShares(CpuSharesFromWeight(weight)), weight);
  }
}

}  // namespace
}  // namespace podvisor
