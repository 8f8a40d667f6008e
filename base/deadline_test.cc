#include "base/deadline.h"

#include "gtest/gtest.h"

namespace podvisor {
namespace {

TEST(DeadlineTest, WhatIsLeftIsNeverNegative) {
  for (const absl::Duration past :
       {absl::ZeroDuration(), absl::Seconds(-5), -absl::InfiniteDuration()}) {
    const Deadline deadline = Deadline::After(past);
    EXPECT_TRUE(deadline.IsOver());
    EXPECT_EQ(deadline.Left(), absl::ZeroDuration());
    EXPECT_EQ(deadline.PollMillis(), 0);
  }
}

TEST(DeadlineTest, WhatIsLeftShrinks) {
  const Deadline deadline = Deadline::After(absl::Hours(1));
  const absl::Duration first = deadline.Left();
  EXPECT_LE(first, absl::Hours(1));
  EXPECT_GT(first, absl::Minutes(50));
  EXPECT_LE(deadline.Left(), first);
  EXPECT_FALSE(deadline.IsOver());
}

TEST(DeadlineTest, PollIsAskedForWholeMillisecondsRoundedUp) {
  const Deadline soon = Deadline::After(absl::Hours(1));
  EXPECT_EQ(soon.PollMillis(absl::Microseconds(1)), 1);
  EXPECT_EQ(soon.PollMillis(absl::Microseconds(2500)), 3);
  EXPECT_LE(soon.PollMillis(), 3'600'000);
  EXPECT_EQ(Deadline::After(absl::Hours(100'000)).PollMillis(), 1'000'000'000);
}

TEST(DeadlineTest, NeverIsNotOverAndLetsPollWaitForEver) {
  EXPECT_FALSE(Deadline::Never().IsOver());
  EXPECT_EQ(Deadline::Never().PollMillis(), -1);
  EXPECT_EQ(Deadline::After(absl::InfiniteDuration()).PollMillis(), -1);
  EXPECT_EQ(Deadline::Never().PollMillis(absl::Milliseconds(250)), 250);
}

TEST(DeadlineTest, AwaitTellsWhetherItCameInTime) {
  absl::Notification notification;
  EXPECT_FALSE(AwaitUntil(notification, Deadline::After(absl::ZeroDuration())));
  notification.Notify();
  EXPECT_TRUE(AwaitUntil(notification, Deadline::After(absl::ZeroDuration())));

  absl::Mutex mutex;
  bool done = false;
  absl::MutexLock lock(&mutex);
  EXPECT_FALSE(AwaitUntil(&mutex, absl::Condition(&done),
                          Deadline::After(absl::Milliseconds(1))));
  done = true;
  EXPECT_TRUE(AwaitUntil(&mutex, absl::Condition(&done), Deadline::Never()));
}

}  // namespace
}  // namespace podvisor
