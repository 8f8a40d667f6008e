#ifndef PODVISOR_GUESTAGENT_EXEC_TIMES_H_
#define PODVISOR_GUESTAGENT_EXEC_TIMES_H_

#include "absl/time/time.h"

namespace podvisor {

// How an exec whose time is over ends, at both ends of the channel.

// How long the agent waits for the kernel to end a killed process.
inline constexpr absl::Duration kExecKillTime = absl::Seconds(2);

// How long past a command's time the host waits for its agent to say that it
// is dead.
inline constexpr absl::Duration kExecAnswerTime = absl::Seconds(3);

// The agent's word comes first, also for a process that cannot be killed.
static_assert(kExecKillTime < kExecAnswerTime);

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_EXEC_TIMES_H_
