#include "network/stray_plugins.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <memory>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/errno_status.h"
#include "base/file.h"
#include "base/process.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"

namespace podvisor {
namespace {

// Whatever is longer is no plugin's: they get seven variables.
constexpr size_t kMaxEnvironment = 64 << 10;

bool IsPlugin(pid_t pid, const std::string& netns_directory) {
  const absl::StatusOr<std::string> environment =
      ReadFile(absl::StrCat("/proc/", pid, "/environ"), kMaxEnvironment);
  if (!environment.ok()) return false;
  const std::string sign = absl::StrCat("CNI_NETNS=", netns_directory, "/");
  for (const absl::string_view variable : absl::StrSplit(*environment, '\0')) {
    if (absl::StartsWith(variable, sign)) return true;
  }
  return false;
}

absl::StatusOr<std::vector<pid_t>> FindPlugins(
    const std::string& netns_directory) {
  const std::unique_ptr<DIR, int (*)(DIR*)> processes(opendir("/proc"),
                                                      closedir);
  if (processes == nullptr) return ErrnoStatus(errno, "/proc");
  std::vector<pid_t> found;
  while (const dirent* entry = readdir(processes.get())) {
    pid_t pid = 0;
    if (absl::SimpleAtoi(entry->d_name, &pid) &&
        IsPlugin(pid, netns_directory)) {
      found.push_back(pid);
    }
  }
  return found;
}

absl::Status End(pid_t pid, const std::string& netns_directory,
                 absl::Time deadline) {
  const UniqueFd process(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!process.valid()) {
    return errno == ESRCH ? absl::OkStatus() : ErrnoStatus(errno, "pidfd_open");
  }
  // The pid may be another process's since it was found; the descriptor stays.
  const absl::StatusOr<ProcessIdentity> identity = IdentifyProcess(pid);
  if (!identity.ok() || !IsPlugin(pid, netns_directory)) {
    return absl::OkStatus();
  }
  if (syscall(SYS_pidfd_send_signal, process.get(), SIGKILL, nullptr, 0) != 0 &&
      errno != ESRCH) {
    return ErrnoStatus(errno, absl::StrCat("kill ", pid));
  }
  return WaitProcess(*identity, deadline).status();
}

}  // namespace

absl::Status EndStrayPlugins(const std::string& netns_directory,
                             absl::Time deadline) {
  // Again until there are none: one may have started another meanwhile.
  for (;;) {
    ASSIGN_OR_RETURN(const std::vector<pid_t> found,
                     FindPlugins(netns_directory));
    if (found.empty()) return absl::OkStatus();
    for (const pid_t pid : found) {
      RETURN_IF_ERROR(Annotate(End(pid, netns_directory, deadline),
                               "a plugin of an earlier daemon"));
    }
  }
}

}  // namespace podvisor
