#include "guestagent/agent/poll_until.h"

#include "gtest/gtest.h"

namespace podvisor {
namespace {

TEST(PollUntilTest, AsksOnceEvenWithoutTime) {
  int asked = 0;

  EXPECT_TRUE(PollUntil(absl::ZeroDuration(), nullptr, [&] {
                return absl::StatusOr<bool>(++asked == 1);
              }).ok());
  EXPECT_EQ(asked, 1);
}

TEST(PollUntilTest, DeadlineErrorAndCancellationEndIt) {
  const auto never = [] { return absl::StatusOr<bool>(false); };

  EXPECT_TRUE(absl::IsDeadlineExceeded(
      PollUntil(-absl::InfiniteDuration(), nullptr, never)));
  EXPECT_TRUE(absl::IsCancelled(PollUntil(
      absl::InfiniteDuration(), [] { return true; }, never)));
  EXPECT_TRUE(absl::IsDataLoss(PollUntil(
      absl::InfiniteDuration(), nullptr,
      []() -> absl::StatusOr<bool> { return absl::DataLossError("no"); })));
}

}  // namespace
}  // namespace podvisor
