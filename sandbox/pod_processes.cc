#include "sandbox/pod_processes.h"

#include <dirent.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "sandbox/qemu_command_line.h"

namespace podvisor {
namespace {

constexpr size_t kMaxCmdline = 64 << 10;

// Exactly this process, even if its pid is another's by now.
void Kill(const ProcessIdentity& process) {
  const UniqueFd pidfd(
      static_cast<int>(syscall(SYS_pidfd_open, process.pid, 0)));
  const absl::StatusOr<ProcessIdentity> now = IdentifyProcess(process.pid);
  if (!pidfd.valid() || !now.ok() || *now != process) return;
  syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
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

std::vector<ProcessIdentity> FindPodProcesses(const PodId& id) {
  std::vector<ProcessIdentity> found;
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(opendir("/proc"), closedir);
  if (entries == nullptr) return found;
  while (const dirent* entry = readdir(entries.get())) {
    pid_t pid = 0;
    if (!absl::SimpleAtoi(entry->d_name, &pid)) continue;
    const absl::StatusOr<ProcessIdentity> process = IdentifyProcess(pid);
    if (!process.ok()) continue;
    const absl::StatusOr<std::string> cmdline =
        ReadFile(absl::StrCat("/proc/", pid, "/cmdline"), kMaxCmdline);
    if (!cmdline.ok() || !IsProcessOfPod(*cmdline, id)) continue;
    found.push_back(*process);
  }
  return found;
}

absl::Status KillPodProcesses(const PodId& id, absl::Time deadline) {
  // A second look, because a launcher may have been about to become another
  // process, or to start one.
  for (int quiet = 0; quiet < 2;) {
    const std::vector<ProcessIdentity> found = FindPodProcesses(id);
    if (found.empty()) {
      ++quiet;
      continue;
    }
    quiet = 0;
    for (const ProcessIdentity& process : found) Kill(process);
    for (const ProcessIdentity& process : found) {
      RETURN_IF_ERROR(WaitProcess(process, deadline).status());
    }
  }
  return absl::OkStatus();
}

}  // namespace podvisor
