#ifndef PODVISOR_GUESTAGENT_AGENT_EXEC_PROCESS_H_
#define PODVISOR_GUESTAGENT_AGENT_EXEC_PROCESS_H_

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"
#include "guestagent/agent/child_reaper.h"
#include "guestagent/agent/crun_driver.h"

namespace podvisor {

struct ExecRequest {
  std::string container_id;
  std::string process_json;
  std::string work_prefix;  // of temporary files; nobody else uses it
  bool tty = false;
  bool with_stdin = false;
  int oom_score_adj = 0;
};

// One process that was started in a running container, with our ends of its
// streams. The destructor lets it run on: Kill() first.
//
// Thread-safe, but the streams have one reader and one writer each.
class ExecProcess {
 public:
  // Errors as of CrunDriver::Exec; InvalidArgument is the command's fault.
  static absl::StatusOr<std::unique_ptr<ExecProcess>> Start(
      const ExecRequest& request, const CrunDriver& crun, ChildReaper* reaper);

  ExecProcess(const ExecProcess&) = delete;
  ExecProcess& operator=(const ExecProcess&) = delete;

  // Non-blocking; -1: no such stream. The terminal is `stdout_fd`.
  int stdout_fd() const { return stdout_.get(); }
  int stderr_fd() const { return stderr_.get(); }
  // Readable once exit_code() is known.
  int exit_fd() const { return exit_->event.get(); }

  // 128 + signal for a signal.
  std::optional<int> exit_code() const;

  // Writes all of `data`, waiting while the process does not read. Dropped
  // when it reads no more, after CloseStdin() and after Stop().
  void WriteStdin(absl::string_view data);
  // End of input; nothing with a terminal, where it is a key.
  void CloseStdin();
  void Resize(uint32_t width, uint32_t height);

  // SIGKILL for the process and the rest of its process group. Nothing once
  // it has exited: what it left behind is the container's.
  void Kill();

  // Wakes WriteStdin() for good.
  void Stop();

 private:
  // Shared with the reaper's callback, which may come after us.
  struct Exit {
    UniqueFd event;
    std::atomic<int> code{-1};
  };

  ExecProcess() = default;

  pid_t pid_ = 0;
  pid_t group_ = 0;  // made by crun's session, or by the process itself
  bool tty_ = false;
  UniqueFd pidfd_;
  UniqueFd stdout_;
  UniqueFd stderr_;
  UniqueFd stop_;
  std::shared_ptr<Exit> exit_;
  UniqueFd stdin_;  // of the one writing thread
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_EXEC_PROCESS_H_
