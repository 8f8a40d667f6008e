#include "guestagent/agent/sandbox_namespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/errno_status.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"

namespace podvisor {
namespace {

constexpr int64_t kDefaultShmBytes = 64 << 20;
constexpr size_t kMaxHostName = 64;  // HOST_NAME_MAX of Linux
constexpr size_t kMaxSysctlValue = 4096;

// As kubelet: those that the kernel keeps for each IPC or network namespace.
constexpr absl::string_view kSysctlNames[] = {"kernel.sem"};
constexpr absl::string_view kSysctlPrefixes[] = {"kernel.shm", "kernel.msg",
                                                 "fs.mqueue.", "net."};

// In the slashed form a dot is part of a name ("net/ipv4/conf/eth0.100/...").
// Which form it is, the first separator tells.
std::vector<std::string> SysctlWords(absl::string_view name) {
  const size_t separator = name.find_first_of("./");
  if (separator == absl::string_view::npos || name[separator] == '/') {
    return absl::StrSplit(name, '/');
  }
  std::vector<std::string> words = absl::StrSplit(name, '.');
  for (std::string& word : words)
    std::replace(word.begin(), word.end(), '/', '.');
  return words;
}

bool IsHostName(absl::string_view name) {
  return !name.empty() && name.size() <= kMaxHostName &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return absl::ascii_isalnum(c) || c == '-' || c == '.' || c == '_';
         });
}

// Runs in the pause process, a copy of the agent: only system calls. Leaves
// it nothing of the guest to see: an empty root, no descriptors.
[[noreturn]] void Pause(const char* empty_dir, char* process_title) {
  prctl(PR_SET_NAME, "pause");
  strncpy(process_title, "pause", strlen(process_title));
  setsid();
  close_range(0, ~0U, 0);
  struct sigaction ignore = {};
  ignore.sa_handler = SIG_IGN;  // The kernel reaps the namespace's orphans.
  ignore.sa_flags = SA_NOCLDWAIT;
  sigaction(SIGCHLD, &ignore, nullptr);
  const bool alone =
      mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
      mount("tmpfs", empty_dir, "tmpfs",
            MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k") == 0 &&
      chdir(empty_dir) == 0 && syscall(SYS_pivot_root, ".", ".") == 0 &&
      umount2(".", MNT_DETACH) == 0 && chdir("/") == 0;
  if (!alone) _exit(1);
  while (true) pause();
}

absl::Status EnterNamespace(pid_t pid, const char* name, int type) {
  const std::string path = absl::StrCat("/proc/", pid, "/ns/", name);
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return ErrnoStatus(errno, path);
  if (setns(file.get(), type) != 0) return ErrnoStatus(errno, path);
  return absl::OkStatus();
}

absl::Status WriteSysctl(const std::string& name, const std::string& value) {
  ASSIGN_OR_RETURN(const std::string path, SysctlPath(name));
  const UniqueFd file(open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
  const absl::Status written =
      file.valid() ? WriteAll(file.get(), value) : ErrnoStatus(errno, "open");
  if (written.ok()) return written;
  return absl::InvalidArgumentError(
      absl::StrCat("sysctl ", name, ": ", written.message()));
}

absl::Status SetInNamespaces(pid_t pause_pid, const SandboxSettings& settings) {
  RETURN_IF_ERROR(EnterNamespace(pause_pid, "uts", CLONE_NEWUTS));
  RETURN_IF_ERROR(EnterNamespace(pause_pid, "ipc", CLONE_NEWIPC));
  if (!settings.hostname.empty() &&
      sethostname(settings.hostname.data(), settings.hostname.size()) != 0) {
    return ErrnoStatus(errno, "sethostname");
  }
  for (const auto& [name, value] : settings.sysctls) {
    RETURN_IF_ERROR(WriteSysctl(name, value));
  }
  return absl::OkStatus();
}

absl::Status Validate(const SandboxSettings& settings) {
  if (!settings.hostname.empty() && !IsHostName(settings.hostname)) {
    return absl::InvalidArgumentError("not a host name");
  }
  if (settings.shm_bytes < 0) {
    return absl::InvalidArgumentError("negative size of /dev/shm");
  }
  for (const auto& [name, value] : settings.sysctls) {
    RETURN_IF_ERROR(SysctlPath(name).status());
    if (value.empty() || value.size() > kMaxSysctlValue) {
      return absl::InvalidArgumentError(
          absl::StrCat("sysctl ", name, ": impossible value"));
    }
  }
  return absl::OkStatus();
}

absl::Status MountShm(const std::string& directory, int64_t bytes) {
  RETURN_IF_ERROR(MakeDirectories(directory, 01777));
  // An earlier attempt may have mounted it.
  umount2(directory.c_str(), MNT_DETACH);
  const std::string options =
      absl::StrCat("mode=1777,size=", bytes == 0 ? kDefaultShmBytes : bytes);
  if (mount("shm", directory.c_str(), "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
            options.c_str()) != 0) {
    return ErrnoStatus(errno, "mount /dev/shm");
  }
  return absl::OkStatus();
}

}  // namespace

bool IsNamespacedSysctl(absl::string_view name) {
  return SysctlPath(name).ok();
}

absl::StatusOr<std::string> SysctlPath(absl::string_view name) {
  const std::vector<std::string> words = SysctlWords(name);
  std::string path = "/proc/sys";
  for (const std::string& word : words) {
    if (word.empty() || word == "." || word == ".." ||
        absl::StrContains(word, '/') ||
        !std::all_of(word.begin(), word.end(), absl::ascii_isgraph)) {
      return absl::InvalidArgumentError(absl::StrCat("sysctl ", name));
    }
    absl::StrAppend(&path, "/", word);
  }
  const std::string dotted = absl::StrJoin(words, ".");
  for (absl::string_view allowed : kSysctlNames) {
    if (dotted == allowed) return path;
  }
  for (absl::string_view allowed : kSysctlPrefixes) {
    if (absl::StartsWith(dotted, allowed)) return path;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("sysctl ", name, " does not belong to a pod"));
}

SandboxNamespaces::SandboxNamespaces(std::string run_dir)
    : run_dir_(std::move(run_dir)) {}

absl::Status SandboxNamespaces::StartPause(char* process_title) {
  const std::string empty_dir = absl::StrCat(run_dir_, "/pause");
  RETURN_IF_ERROR(MakeDirectories(empty_dir));
  // Raw clone: posix_spawn cannot make namespaces, and an exec of the agent
  // would cost time at each boot. Only one thread exists, so this is safe.
  const long pid = syscall(
      SYS_clone,
      CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWPID | CLONE_NEWNS | SIGCHLD,
      nullptr, nullptr, nullptr, nullptr);
  if (pid < 0) return ErrnoStatus(errno, "clone the pause process");
  if (pid == 0) Pause(empty_dir.c_str(), process_title);
  pause_pid_ = static_cast<pid_t>(pid);
  return absl::OkStatus();
}

absl::Status SandboxNamespaces::Configure(const SandboxSettings& settings) {
  absl::MutexLock lock(&mutex_);
  if (configured_.has_value()) {
    if (*configured_ == settings) return absl::OkStatus();
    return absl::FailedPreconditionError(
        "the sandbox is configured already, in another way");
  }
  RETURN_IF_ERROR(Validate(settings));
  RETURN_IF_ERROR(Apply(settings));
  configured_ = settings;
  return absl::OkStatus();
}

absl::Status SandboxNamespaces::Apply(const SandboxSettings& settings) {
  absl::Status status;
  // A thread of its own: it ends in other namespaces than it began.
  std::thread([&] { status = SetInNamespaces(pause_pid_, settings); }).join();
  RETURN_IF_ERROR(status);
  RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(run_dir_, "/resolv.conf"),
                                      settings.resolv_conf, 0644));
  RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(run_dir_, "/hostname"),
                                      absl::StrCat(settings.hostname, "\n"),
                                      0644));
  return MountShm(absl::StrCat(run_dir_, "/shm"), settings.shm_bytes);
}

void SandboxNamespaces::SetAddresses(std::vector<std::string> addresses) {
  absl::MutexLock lock(&mutex_);
  addresses_ = std::move(addresses);
}

absl::StatusOr<SandboxView> SandboxNamespaces::View() const {
  absl::MutexLock lock(&mutex_);
  if (!configured_.has_value()) {
    return absl::FailedPreconditionError("the sandbox is not configured");
  }
  if (kill(pause_pid_, 0) != 0) {
    return absl::UnavailableError("the pause process is gone");
  }
  const std::string ns = absl::StrCat("/proc/", pause_pid_, "/ns/");
  return SandboxView{
      .pause_pid = pause_pid_,
      .ipc_namespace = absl::StrCat(ns, "ipc"),
      .uts_namespace = absl::StrCat(ns, "uts"),
      .pid_namespace = absl::StrCat(ns, "pid"),
      .hostname = configured_->hostname,
      .addresses = addresses_,
      .resolv_conf_file = absl::StrCat(run_dir_, "/resolv.conf"),
      .hostname_file = absl::StrCat(run_dir_, "/hostname"),
      .shm_dir = absl::StrCat(run_dir_, "/shm"),
  };
}

}  // namespace podvisor
