#include "sandbox/vm/pod_processes.h"

#include <dirent.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/errno_status.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "sandbox/vm/qemu_command_line.h"

namespace podvisor {
namespace {

// Exactly this process, even if its pid is another's by now. Errors:
// ResourceExhausted.
absl::Status Kill(const ProcessIdentity& process) {
  const UniqueFd pidfd(
      static_cast<int>(syscall(SYS_pidfd_open, process.pid, 0)));
  if (!pidfd.valid()) {
    if (errno == ESRCH) return absl::OkStatus();
    return ErrnoStatus(errno, "pidfd_open");
  }
  if (!IsAlive(process)) return absl::OkStatus();
  syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
  return absl::OkStatus();
}

// The process, if it is one of this pod.
absl::StatusOr<std::optional<ProcessIdentity>> LookAt(pid_t pid,
                                                      const PodId& id) {
  // An error other than a want of descriptors or memory: it has just ended.
  const absl::StatusOr<ProcessIdentity> process = IdentifyProcess(pid);
  if (absl::IsResourceExhausted(process.status())) return process.status();
  const absl::StatusOr<std::string> cmdline =
      ReadFile(absl::StrCat("/proc/", pid, "/cmdline"));
  if (absl::IsResourceExhausted(cmdline.status())) return cmdline.status();
  if (!process.ok() || !cmdline.ok() || !IsProcessOfPod(*cmdline, id)) {
    return std::nullopt;
  }
  return *process;
}

}  // namespace

bool IsProcessOfPod(absl::string_view cmdline, const PodId& id) {
  const std::string name = QemuProcessName(id);
  const std::string share = absl::StrCat("/pods/", id.value(), "/share");
  absl::string_view before;
  for (const absl::string_view argument : absl::StrSplit(cmdline, '\0')) {
    if (before == "-name" && argument == name) return true;
    if (before == "-o" && absl::StartsWith(argument, "source=/") &&
        absl::EndsWith(argument, share)) {
      return true;
    }
    before = argument;
  }
  return false;
}

absl::StatusOr<std::vector<ProcessIdentity>> FindPodProcesses(const PodId& id) {
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(opendir("/proc"), closedir);
  if (entries == nullptr) return ErrnoStatus(errno, "/proc");
  std::vector<ProcessIdentity> found;
  for (;;) {
    errno = 0;
    const dirent* const entry = readdir(entries.get());
    if (entry == nullptr) break;
    pid_t pid = 0;
    if (!absl::SimpleAtoi(entry->d_name, &pid)) continue;
    ASSIGN_OR_RETURN(const std::optional<ProcessIdentity> process,
                     LookAt(pid, id));
    if (process.has_value()) found.push_back(*process);
  }
  if (errno != 0) return ErrnoStatus(errno, "/proc");
  return found;
}

absl::Status KillPodProcesses(const PodId& id, absl::Time deadline) {
  // A second look, because a launcher may have been about to become another
  // process, or to start one.
  for (int quiet = 0; quiet < 2;) {
    ASSIGN_OR_RETURN(const std::vector<ProcessIdentity> found,
                     FindPodProcesses(id));
    if (found.empty()) {
      ++quiet;
      continue;
    }
    quiet = 0;
    for (const ProcessIdentity& process : found) {
      RETURN_IF_ERROR(Kill(process));
    }
    for (const ProcessIdentity& process : found) {
      RETURN_IF_ERROR(WaitProcess(process, deadline).status());
    }
  }
  return absl::OkStatus();
}

}  // namespace podvisor
