#include "sandbox/size/settle_schedule.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using ::testing::ElementsAre;

absl::Duration At(int seconds) { return absl::Seconds(seconds); }

TEST(SettleScheduleTest, OneRunComesForManyWhoAsk) {
  SettleSchedule schedule;

  EXPECT_TRUE(schedule.Ask(At(5)));
  EXPECT_FALSE(schedule.Ask(At(5)));
  EXPECT_FALSE(schedule.Take(At(4)));
  EXPECT_TRUE(schedule.Take(At(5)));
  EXPECT_FALSE(schedule.Take(At(5)));
}

TEST(SettleScheduleTest, WhoAsksLaterPostponesNothing) {
  SettleSchedule schedule;
  schedule.Ask(At(5));

  for (int now = 1; now < 5; ++now) EXPECT_FALSE(schedule.Ask(At(now + 5)));

  EXPECT_TRUE(schedule.Take(At(5)));
}

TEST(SettleScheduleTest, AnEarlierRunReplacesALaterOne) {
  SettleSchedule schedule;
  schedule.Ask(At(30));

  EXPECT_TRUE(schedule.Ask(At(1)));

  EXPECT_TRUE(schedule.Take(At(1)));
  EXPECT_FALSE(schedule.Take(At(30)));
}

TEST(SettleScheduleTest, RetriesComeRarerUpToABoundUntilTheTargetIsReached) {
  SettleSchedule schedule;
  std::vector<double> waits;
  for (int i = 0; i < 10; ++i) {
    waits.push_back(absl::ToDoubleSeconds(schedule.Missed({1, 0}, {4, 0})));
  }

  EXPECT_THAT(waits,
              ElementsAre(0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30));
  schedule.Reached();
  EXPECT_EQ(schedule.Missed({1, 0}, {4, 0}), SettleSchedule::kLeastBackoff);
}

TEST(SettleScheduleTest, AnotherTargetIsTriedSoon) {
  SettleSchedule schedule;
  for (int i = 0; i < 10; ++i) schedule.Missed({1, 0}, {4, 0});

  EXPECT_EQ(schedule.Missed({2, 0}, {4, 0}), SettleSchedule::kLeastBackoff);
}

TEST(SettleScheduleTest, AVmThatComesNearerThanEverIsSeenToSoon) {
  SettleSchedule schedule;
  const VmSize target = {4, 100};
  const auto misses = [&](const VmSize& has) {
    absl::Duration wait;
    for (int i = 0; i < 5; ++i) wait = schedule.Missed(target, has);
    return wait;
  };
  misses({1, 0});

  for (const VmSize& nearer :
       {VmSize{2, 0}, VmSize{2, 50}, VmSize{3, 0}, VmSize{3, 100}}) {
    EXPECT_EQ(schedule.Missed(target, nearer), SettleSchedule::kLeastBackoff);
    EXPECT_GT(misses(nearer), SettleSchedule::kLeastBackoff);
  }
  // It has been there before.
  EXPECT_GT(schedule.Missed(target, {2, 0}), absl::Seconds(5));
  EXPECT_GT(schedule.Missed(target, {3, 0}), absl::Seconds(5));
}

TEST(SettleScheduleTest, AShrinkThatGetsOnIsFollowed) {
  SettleSchedule schedule;
  for (int has = 9; has > 1; --has) {
    EXPECT_EQ(schedule.Missed({1, 0}, {1, has}), SettleSchedule::kLeastBackoff);
  }
  EXPECT_EQ(schedule.Missed({1, 0}, {1, 2}), 2 * SettleSchedule::kLeastBackoff);
}

TEST(SettleScheduleTest, MakesRoomForOthersButNotForEver) {
  SettleSchedule schedule;
  const absl::Duration patience = absl::Seconds(5);

  EXPECT_TRUE(schedule.MayYield(At(10), patience));
  EXPECT_TRUE(schedule.MayYield(At(14), patience));
  EXPECT_FALSE(schedule.MayYield(At(15), patience));
  schedule.Reached();
  EXPECT_TRUE(schedule.MayYield(At(16), patience));
}

}  // namespace
}  // namespace podvisor
