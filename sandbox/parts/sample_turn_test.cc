#include "sandbox/parts/sample_turn.h"

#include "gtest/gtest.h"

namespace podvisor {
namespace {

const absl::Duration kNow = absl::Hours(5);

TEST(SampleTurnTest, OneAtATimeAndOneMoreForAllWhoAskedMeanwhile) {
  SampleTurn turn;
  EXPECT_TRUE(turn.Begin(kNow));
  EXPECT_FALSE(turn.Begin(kNow));
  EXPECT_FALSE(turn.Begin(kNow));

  EXPECT_TRUE(turn.End(/*answered=*/true, kNow));

  EXPECT_TRUE(turn.Begin(kNow));
  EXPECT_FALSE(turn.End(/*answered=*/true, kNow));
}

TEST(SampleTurnTest, AGuestThatDoesNotAnswerIsAskedEverLessOften) {
  SampleTurn turn;
  absl::Duration now = kNow;
  for (const int pause : {2, 4, 8, 16, 32, 60, 60}) {
    EXPECT_TRUE(turn.Begin(now)) << pause;
    EXPECT_FALSE(turn.Begin(now));
    EXPECT_FALSE(turn.End(/*answered=*/false, now));
    now += absl::Seconds(pause);
    EXPECT_FALSE(turn.Begin(now - absl::Nanoseconds(1))) << pause;
  }

  EXPECT_TRUE(turn.Begin(now));
  EXPECT_FALSE(turn.End(/*answered=*/true, now));
  EXPECT_TRUE(turn.Begin(now));
}

}  // namespace
}  // namespace podvisor
