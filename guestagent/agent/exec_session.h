#ifndef PODVISOR_GUESTAGENT_AGENT_EXEC_SESSION_H_
#define PODVISOR_GUESTAGENT_AGENT_EXEC_SESSION_H_

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "guestagent/agent/child_reaper.h"
#include "guestagent/agent/container_runtime.h"
#include "guestagent/agent/crun_driver.h"
#include "guestagent/agent/exec_process.h"

namespace podvisor {

struct ExecTimes {
  absl::Duration timeout;  // of the process, from now on
  absl::Duration drain;    // of its output, once it is gone
};

// Serves one Exec call after its first message: starts the process, carries
// its streams, and sends its exit code as the last message. A command that
// cannot be executed is no error: it has the exit code 127 or 126 and its
// reason on standard error, as with a shell.
//
// Once the process is gone, waits for the end of its output, which a child of
// it may hold open. A cancelled call kills the process, and so does the
// timeout, whose DeadlineExceeded comes when the process is dead; or
// kExecKillTime later, should the kernel not let it die.
absl::Status RunExecSession(const ExecRequest& request, const ExecTimes& times,
                            const CrunDriver& crun, ChildReaper* reaper,
                            grpc::ServerContext* context,
                            ContainerRuntime::ExecStream* stream);

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_EXEC_SESSION_H_
