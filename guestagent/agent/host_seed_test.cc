#include "guestagent/agent/host_seed.h"

#include <string>

#include "gtest/gtest.h"

namespace podvisor {
namespace {

TEST(HostSeedTest, EntropyOfAnImpossibleLengthIsRefused) {
  for (const size_t size : {0u, 15u, 257u}) {
    EXPECT_TRUE(absl::IsInvalidArgument(AddHostEntropy(std::string(size, 'e'))))
        << size;
  }
}

TEST(HostSeedTest, OnlyAClockThatIsClearlyOffIsStepped) {
  const absl::Time host = absl::FromUnixSeconds(1'800'000'000);

  EXPECT_FALSE(ClockNeedsStep(host, host));
  EXPECT_FALSE(ClockNeedsStep(host - absl::Milliseconds(50), host));
  EXPECT_TRUE(ClockNeedsStep(host - absl::Milliseconds(51), host));
  EXPECT_TRUE(ClockNeedsStep(host + absl::Seconds(1), host));
}

TEST(HostSeedTest, ImpossibleTimesAreRefused) {
  EXPECT_TRUE(absl::IsInvalidArgument(AdoptHostTime(absl::UnixEpoch())));
  EXPECT_TRUE(absl::IsInvalidArgument(AdoptHostTime(absl::InfiniteFuture())));
}

}  // namespace
}  // namespace podvisor
