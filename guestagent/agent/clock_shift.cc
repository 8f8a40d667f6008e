#include "guestagent/agent/clock_shift.h"

#include <grpc/support/time.h>

// Defined by libgpr (src/core/lib/gpr/time_posix.cc): what gpr_now() calls.
extern gpr_timespec (*gpr_now_impl)(gpr_clock_type clock_type);

namespace podvisor {
namespace {

gpr_timespec (*real_now)(gpr_clock_type) = nullptr;

gpr_timespec ShiftedNow(gpr_clock_type clock_type) {
  gpr_timespec now = real_now(clock_type);
  if (clock_type == GPR_CLOCK_MONOTONIC) now.tv_sec += 10;
  return now;
}

}  // namespace

void ShiftGrpcClock() {
  if (real_now != nullptr) return;
  real_now = gpr_now_impl;
  gpr_now_impl = ShiftedNow;
}

}  // namespace podvisor
