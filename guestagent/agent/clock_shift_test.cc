#include "guestagent/agent/clock_shift.h"

#include <grpc/support/time.h>

#include "gtest/gtest.h"

namespace podvisor {
namespace {

TEST(ClockShiftTest, OnlyTheMonotonicClockOfGrpcIsShiftedAndOnlyOnce) {
  const gpr_timespec monotonic = gpr_now(GPR_CLOCK_MONOTONIC);
  const gpr_timespec wall = gpr_now(GPR_CLOCK_REALTIME);

  ShiftGrpcClock();
  ShiftGrpcClock();

  EXPECT_GE(gpr_now(GPR_CLOCK_MONOTONIC).tv_sec, monotonic.tv_sec + 10);
  EXPECT_LT(gpr_now(GPR_CLOCK_MONOTONIC).tv_sec, monotonic.tv_sec + 20);
  EXPECT_LT(gpr_now(GPR_CLOCK_REALTIME).tv_sec, wall.tv_sec + 10);
}

}  // namespace
}  // namespace podvisor
