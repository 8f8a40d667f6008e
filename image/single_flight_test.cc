#include "image/single_flight.h"

#include <atomic>
#include <thread>
#include <vector>

#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

constexpr absl::Duration kLong = absl::Seconds(30);

// Until `count` callers wait; the flight's own polling bounds the test.
void AwaitWaiting(const SingleFlight& flights, int count) {
  const absl::Time deadline = absl::Now() + kLong;
  while (flights.waiting() != count && absl::Now() < deadline) {
    std::this_thread::yield();
  }
  ASSERT_EQ(flights.waiting(), count);
}

TEST(SingleFlightTest, CallersOfOneKeyShareOneEffort) {
  SingleFlight flights;
  absl::Notification started, finish;
  std::atomic<int> efforts = 0;
  const auto work = [&](const SingleFlight::Cancelled&) {
    ++efforts;
    started.Notify();
    finish.WaitForNotificationWithTimeout(kLong);
    return absl::StatusOr<std::string>("id");
  };
  std::vector<std::jthread> callers;
  std::atomic<int> good = 0;
  const auto call = [&] { good += *flights.Run("a", {}, work) == "id"; };
  callers.emplace_back(call);
  ASSERT_TRUE(started.WaitForNotificationWithTimeout(kLong));
  for (int i = 0; i < 4; ++i) callers.emplace_back(call);
  AwaitWaiting(flights, 4);
  finish.Notify();
  callers.clear();

  EXPECT_EQ(efforts, 1);
  EXPECT_EQ(good, 5);
}

TEST(SingleFlightTest, TheEffortGoesOnForAWaiterWhenTheFirstCallerLeaves) {
  SingleFlight flights;
  absl::Notification started, finish;
  const auto work = [&](const SingleFlight::Cancelled& cancelled)
      -> absl::StatusOr<std::string> {
    started.Notify();
    finish.WaitForNotificationWithTimeout(kLong);
    if (cancelled()) return absl::CancelledError("nobody wants it");
    return "id";
  };
  std::jthread first([&] {
    (void)flights.Run(
        "a", [] { return true; }, work);
  });
  ASSERT_TRUE(started.WaitForNotificationWithTimeout(kLong));
  absl::StatusOr<std::string> second_result;
  std::jthread second([&] { second_result = flights.Run("a", {}, work); });
  AwaitWaiting(flights, 1);
  finish.Notify();
  second.join();

  EXPECT_TRUE(second_result.ok()) << second_result.status();
}

TEST(SingleFlightTest, TheEffortEndsWhenNobodyWantsIt) {
  SingleFlight flights;
  const absl::StatusOr<std::string> result = flights.Run(
      "a", [] { return true; },
      [](const SingleFlight::Cancelled& cancelled)
          -> absl::StatusOr<std::string> {
        if (cancelled()) return absl::CancelledError("stopped");
        return "id";
      });

  EXPECT_TRUE(absl::IsCancelled(result.status()));
}

TEST(SingleFlightTest, AWaiterMayLeaveAlone) {
  SingleFlight flights;
  absl::Notification started, finish;
  absl::StatusOr<std::string> first_result;
  const auto work = [&](const SingleFlight::Cancelled& cancelled)
      -> absl::StatusOr<std::string> {
    started.Notify();
    finish.WaitForNotificationWithTimeout(kLong);
    if (cancelled()) return absl::CancelledError("stopped");
    return "id";
  };
  std::jthread first([&] { first_result = flights.Run("a", {}, work); });
  ASSERT_TRUE(started.WaitForNotificationWithTimeout(kLong));

  EXPECT_TRUE(absl::IsCancelled(flights
                                    .Run(
                                        "a", [] { return true; }, work)
                                    .status()));
  finish.Notify();
  first.join();
  EXPECT_TRUE(first_result.ok()) << first_result.status();
}

}  // namespace
}  // namespace podvisor
