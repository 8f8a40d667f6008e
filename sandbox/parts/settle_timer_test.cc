#include "sandbox/parts/settle_timer.h"

#include <memory>

#include "gtest/gtest.h"

namespace podvisor {
namespace {

// What a pod is to its timers.
struct Owner {
  Owner(FakeClock* clock, TimerQueue* queue, int* runs)
      : timers(queue, [this] { return self; }),
        settle(clock, &timers, [runs] { ++*runs; }) {}

  std::weak_ptr<void> self;
  OwnedTimers timers;
  SettleTimer settle;
};

class SettleTimerTest : public testing::Test {
 protected:
  SettleTimerTest()
      : owner_(std::make_shared<Owner>(&clock_, &queue_, &runs_)) {
    owner_->self = owner_;
  }
  void Pass(absl::Duration time) {
    clock_.Advance(time);
    queue_.RunDue();
  }

  FakeClock clock_{absl::FromUnixSeconds(1'700'000'000)};
  TimerQueue queue_{clock_, 0};
  int runs_ = 0;
  std::shared_ptr<Owner> owner_;
};

TEST_F(SettleTimerTest, TheEarliestRunThatWasAskedForIsTheOneThatComes) {
  owner_->settle.After(absl::Seconds(30));
  owner_->settle.After(absl::Seconds(5));
  owner_->settle.After(absl::Seconds(20));

  Pass(absl::Seconds(5));
  EXPECT_EQ(runs_, 1);
  Pass(absl::Seconds(60));
  EXPECT_EQ(runs_, 1);
}

TEST_F(SettleTimerTest, ARunIsNotPostponedByWhoAsksAfterTheClockWasSetBack) {
  owner_->settle.After(absl::Seconds(5));
  clock_.Step(absl::Hours(-1));
  owner_->settle.After(absl::Seconds(60));

  Pass(absl::Seconds(5));
  EXPECT_EQ(runs_, 1);
}

TEST_F(SettleTimerTest, ARunMayAskForTheNext) {
  owner_->settle.After(absl::ZeroDuration());
  Pass(absl::ZeroDuration());
  owner_->settle.After(absl::Seconds(1));

  Pass(absl::Seconds(1));
  EXPECT_EQ(runs_, 2);
}

TEST_F(SettleTimerTest, ATimerOfAnOwnerThatHasGoneRunsNothing) {
  owner_->settle.After(absl::Seconds(1));
  owner_.reset();

  Pass(absl::Seconds(1));
  EXPECT_EQ(runs_, 0);
}

TEST_F(SettleTimerTest, AnOwnerStaysWhileItsTimerRuns) {
  bool there = false;
  const std::weak_ptr<Owner> weak = owner_;
  owner_->timers.After(absl::Seconds(1), [&] {
    owner_.reset();
    there = !weak.expired();
  });

  Pass(absl::Seconds(1));
  EXPECT_TRUE(there);
  EXPECT_TRUE(weak.expired());
}

}  // namespace
}  // namespace podvisor
