#ifndef PODVISOR_GUESTAGENT_AGENT_PAUSE_PROCESS_H_
#define PODVISOR_GUESTAGENT_AGENT_PAUSE_PROCESS_H_

#include <sys/types.h>

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "base/id_mapping.h"

namespace podvisor {

// Starts a process that does nothing but hold new IPC, UTS and PID namespaces,
// and with `ids` a user namespace of that mapping, to which the others and a
// network namespace belong. It sees nothing of the guest: an empty root, made
// at the directory `empty_dir`, and no descriptors.
//
// A copy of this process that makes system calls only: other threads may run.
// It writes its name over `process_title` (argv[0], as long as that is) for
// ps(1) in the pod. The caller reaps it.
absl::StatusOr<pid_t> StartPauseProcess(const std::string& empty_dir,
                                        char* process_title,
                                        const std::optional<IdMapping>& ids);

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_PAUSE_PROCESS_H_
