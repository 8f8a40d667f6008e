#include "base/timer_queue.h"

#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

TEST(TimerQueueTest, RunsInTheOrderOfTheDueTimes) {
  FakeClock clock;
  TimerQueue queue(clock, 0);
  std::vector<int> order;
  queue.Schedule(absl::Seconds(3), [&] { order.push_back(3); });
  queue.Schedule(absl::Seconds(1), [&] { order.push_back(1); });
  queue.Schedule(absl::Seconds(1), [&] { order.push_back(2); });

  EXPECT_EQ(queue.RunDue(), 0);
  clock.Advance(absl::Seconds(1));
  EXPECT_EQ(queue.RunDue(), 2);
  clock.Advance(absl::Seconds(2));
  EXPECT_EQ(queue.RunDue(), 1);

  EXPECT_THAT(order, testing::ElementsAre(1, 2, 3));
}

TEST(TimerQueueTest, AFunctionMayScheduleItselfAgain) {
  FakeClock clock;
  TimerQueue queue(clock, 0);
  int runs = 0;
  std::function<void()> again = [&] {
    if (++runs < 3) queue.Schedule(absl::ZeroDuration(), again);
  };
  queue.Schedule(absl::ZeroDuration(), again);

  EXPECT_EQ(queue.RunDue(), 3);
}

TEST(TimerQueueTest, ABlockedFunctionDelaysNoOtherThread) {
  SystemClock clock;
  absl::Notification second_ran;
  TimerQueue queue(clock, 2);
  queue.Schedule(absl::ZeroDuration(),
                 [&] { second_ran.WaitForNotification(); });
  queue.Schedule(absl::ZeroDuration(), [&] { second_ran.Notify(); });

  EXPECT_TRUE(second_ran.WaitForNotificationWithTimeout(absl::Seconds(20)));
}

TEST(TimerQueueTest, TheDestructorDropsWhatIsNotDue) {
  SystemClock clock;
  bool ran = false;
  {
    TimerQueue queue(clock, 1);
    queue.Schedule(absl::Hours(1), [&] { ran = true; });
  }
  EXPECT_FALSE(ran);
}

}  // namespace
}  // namespace podvisor
