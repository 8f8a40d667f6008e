#ifndef PODVISOR_GUESTAGENT_AGENT_CRUN_DRIVER_H_
#define PODVISOR_GUESTAGENT_AGENT_CRUN_DRIVER_H_

#include <sys/types.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/deadline.h"
#include "guestagent/agent/crun_program.h"

namespace podvisor {

// What a process started by crun gets as its standard streams, or the socket
// that takes its terminal. Descriptors stay the caller's; -1 is /dev/null.
struct CrunStreams {
  int stdin_fd = -1;
  int stdout_fd = -1;
  int stderr_fd = -1;
  std::string console_socket;  // empty: no terminal
  // Of the process. crun sets it for no exec (1.8.1), and what it starts would
  // inherit the agent's -1000: the kernel could not end a container that eats
  // all memory.
  int oom_score_adj = 0;
};

// Runs the packaged crun (1.8.1). Only what needs crun is here: signals,
// limits and removal are done on the cgroup and the process directly, because
// each start of a program costs 40-90 ms under TCG.
//
// Thread-safe. The processes that it starts become orphans, children of PID 1:
// keep a ChildReaper::AdoptionWindow open around Create and Exec.
//
// Errors: InvalidArgument (the command cannot be executed), DeadlineExceeded,
// Internal with crun's own words.
class CrunDriver {
 public:
  // crun keeps its records in `state_dir`, on a tmpfs.
  explicit CrunDriver(std::string state_dir);

  // Makes the container of `bundle_dir`/config.json. Returns the pid of its
  // first process, which waits for Start. On error nothing is left but,
  // perhaps, a cgroup and what Forget() removes.
  absl::StatusOr<pid_t> Create(const std::string& id,
                               const std::string& bundle_dir,
                               const CrunStreams& streams,
                               Deadline deadline) const;

  absl::Status Start(const std::string& id, const std::string& bundle_dir,
                     Deadline deadline) const;

  // Starts a further process as `process_json` says. `work_prefix` is the
  // start of names for temporary files, removed before this returns.
  absl::StatusOr<pid_t> Exec(const std::string& id,
                             const std::string& process_json,
                             const std::string& work_prefix,
                             const CrunStreams& streams,
                             Deadline deadline) const;

  // Removes crun's record of a container whose processes are gone.
  absl::Status Forget(const std::string& id) const;

 private:
  std::string program() const;

  const std::string state_dir_;
  const absl::StatusOr<SealedProgram> sealed_program_;
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_CRUN_DRIVER_H_
