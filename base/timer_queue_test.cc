#include "base/timer_queue.h"

#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <future>

#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

// How far the wall clock of this process is ahead of the kernel's.
std::atomic<int> seconds_ahead = 0;

extern "C" int clock_gettime(clockid_t id, timespec* time) noexcept {
  const long result = syscall(SYS_clock_gettime, id, time);
  if (id == CLOCK_REALTIME) time->tv_sec += seconds_ahead;
  return static_cast<int>(result);
}

extern "C" int gettimeofday(timeval* time, void* zone) noexcept {
  const long result = syscall(SYS_gettimeofday, time, zone);
  time->tv_sec += seconds_ahead;
  return static_cast<int>(result);
}

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

TEST(TimerQueueTest, AStepOfTheWallClockDelaysAndHurriesNothing) {
  FakeClock clock;
  TimerQueue queue(clock, 0);
  int runs = 0;
  for (const absl::Duration step : {absl::Hours(-1), absl::Hours(2)}) {
    queue.Schedule(absl::Seconds(1), [&] { ++runs; });
    clock.Step(step);
    EXPECT_EQ(queue.RunDue(), 0) << step;
    clock.Advance(absl::Seconds(1));
    EXPECT_EQ(queue.RunDue(), 1) << step;
  }
}

// To a wait until a moment of the wall clock, an hour that the kernel's is
// behind is an hour that it was set back by after the wait had begun.
TEST(TimerQueueTest, AThreadThatWaitsIsNotKeptByAWallClockThatIsSetBack) {
  SystemClock clock;
  std::promise<void> ran;
  seconds_ahead = 3600;
  TimerQueue queue(clock, 1);
  queue.Schedule(absl::Milliseconds(50), [&] { ran.set_value(); });

  EXPECT_EQ(ran.get_future().wait_for(std::chrono::seconds(20)),
            std::future_status::ready);
  seconds_ahead = 0;
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
