#ifndef PODVISOR_BASE_PROCESS_H_
#define PODVISOR_BASE_PROCESS_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/deadline.h"
#include "base/unique_fd.h"

namespace podvisor {

// Names one process for good: a pid alone may be another process after a
// restart. The start time is field 22 of /proc/PID/stat, see proc(5).
struct ProcessIdentity {
  pid_t pid = 0;
  uint64_t start_ticks = 0;

  bool operator==(const ProcessIdentity&) const = default;
};

// NotFound when there is no such process.
absl::StatusOr<ProcessIdentity> IdentifyProcess(pid_t pid);

// False for a zombie, and for another process with the same pid. True where
// nobody can tell because descriptors have run out.
bool IsAlive(const ProcessIdentity& process);

struct SpawnOptions {
  std::vector<std::string>
      argv;  // argv[0] is a path or found in the PATH of `env`
  // The whole environment; nothing is inherited.
  std::vector<std::string> env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"};
  // Descriptors of this process and the numbers they get in the child, all
  // of them above 2.
  std::vector<std::pair<int, int>> fds;
  // No other descriptor gets there. False for a program that is executed by its
  // descriptor, /proc/self/fd/N; then all others must be close-on-exec.
  bool close_others = true;
  // -1: /dev/null.
  int stdin_fd = -1;
  int stdout_fd = -1;
  int stderr_fd = -1;
  // A session and process group of its own: signals to our group, and our
  // death, do not reach it; KillGroup() reaches all its descendants that stay.
  bool new_session = true;
};

// Starts a program (posix_spawn: safe with threads and gRPC). The caller reaps
// it with WaitProcess. It does not inherit a protection from the OOM killer.
// NotFound when the program does not exist.
absl::StatusOr<ProcessIdentity> Spawn(const SpawnOptions& options);

// Waits until the process is gone, and reaps it when it is our child. Returns
// the wait status, or 0 when it was not our child. DeadlineExceeded;
// ResourceExhausted without a descriptor to wait with. A moment of the wall
// clock counts as far ahead as it is when the wait begins.
absl::StatusOr<int> WaitProcess(const ProcessIdentity& process,
                                Deadline deadline);
absl::StatusOr<int> WaitProcess(const ProcessIdentity& process,
                                absl::Time deadline);

// SIGKILL for the process group that `process` leads, then waits until the
// leader is gone; nothing when it is gone already. Never signals another
// process that got the same pid. Errors: those of WaitProcess().
absl::Status KillGroup(const ProcessIdentity& process, Deadline deadline);
absl::Status KillGroup(const ProcessIdentity& process, absl::Time deadline);

struct CommandResult {
  int exit_code = 0;  // 128 + signal for a signal
  std::string stdout_data;
  std::string stderr_data;
};

struct CommandOptions {
  std::vector<std::string> argv;
  std::vector<std::string> env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"};
  std::string stdin_data;
  size_t max_output_bytes = 1 << 20;  // of each stream; more is discarded
  absl::Time deadline = absl::InfiniteFuture();
  // Asked several times a second; true kills the command.
  std::function<bool()> cancelled;
};

// Runs a program to its end. A non-zero exit is not an error here. The whole
// process group is killed on DeadlineExceeded and Cancelled, and nothing waits
// for a grandchild that keeps the pipes open.
absl::StatusOr<CommandResult> RunCommand(const CommandOptions& options);

}  // namespace podvisor

#endif  // PODVISOR_BASE_PROCESS_H_
