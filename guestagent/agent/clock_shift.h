#ifndef PODVISOR_GUESTAGENT_AGENT_CLOCK_SHIFT_H_
#define PODVISOR_GUESTAGENT_AGENT_CLOCK_SHIFT_H_

namespace podvisor {

// Moves gRPC's idea of the monotonic clock ten seconds ahead. gRPC 1.51 waits
// in its initialisation until that clock shows two seconds, which PID 1 of a
// fresh VM would spend asleep. Uses an internal symbol of libgpr;
// clock_shift_test fails when a new version no longer has it. Call before any
// other use of gRPC.
void ShiftGrpcClock();

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_CLOCK_SHIFT_H_
