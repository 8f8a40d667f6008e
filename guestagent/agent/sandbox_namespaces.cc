#include "guestagent/agent/sandbox_namespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
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
#include "base/network_namespace.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "guestagent/agent/network_namespace.h"
#include "guestagent/agent/pause_process.h"

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

bool IsOfTheNetwork(absl::string_view sysctl) {
  return absl::StartsWith(sysctl, "net.") || absl::StartsWith(sysctl, "net/");
}

absl::Status WriteSysctls(const SandboxSettings& settings, bool of_network) {
  for (const auto& [name, value] : settings.sysctls) {
    if (IsOfTheNetwork(name) != of_network) continue;
    RETURN_IF_ERROR(WriteSysctl(name, value));
  }
  return absl::OkStatus();
}

absl::Status SetInNamespaces(pid_t pause_pid, const SandboxSettings& settings,
                             const std::optional<IdMapping>& ids) {
  RETURN_IF_ERROR(EnterNamespace(pause_pid, "uts", CLONE_NEWUTS));
  RETURN_IF_ERROR(EnterNamespace(pause_pid, "ipc", CLONE_NEWIPC));
  if (ids.has_value()) {
    RETURN_IF_ERROR(EnterNamespace(pause_pid, "net", CLONE_NEWNET));
  }
  if (!settings.hostname.empty() &&
      sethostname(settings.hostname.data(), settings.hostname.size()) != 0) {
    return ErrnoStatus(errno, "sethostname");
  }
  RETURN_IF_ERROR(WriteSysctls(settings, /*of_network=*/true));
  // Those of an IPC namespace belong to root of its user namespace, and root
  // above it has no rights by capabilities. A thread's own id, not setuid(3)'s.
  if (ids.has_value() && syscall(SYS_setresuid, -1, ids->host_id, -1) != 0) {
    return ErrnoStatus(errno, "become root of the user namespace");
  }
  return WriteSysctls(settings, /*of_network=*/false);
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

absl::Status MountShm(const std::string& directory, int64_t bytes,
                      const std::optional<IdMapping>& ids) {
  RETURN_IF_ERROR(MakeDirectories(directory, 01777));
  // An earlier attempt may have mounted it.
  umount2(directory.c_str(), MNT_DETACH);
  std::string options =
      absl::StrCat("mode=1777,size=", bytes == 0 ? kDefaultShmBytes : bytes);
  if (ids.has_value()) {
    absl::StrAppend(&options, ",uid=", ids->host_id, ",gid=", ids->host_id);
  }
  if (mount("shm", directory.c_str(), "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
            options.c_str()) != 0) {
    return ErrnoStatus(errno, "mount /dev/shm");
  }
  return absl::OkStatus();
}

}  // namespace

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
  process_title_ = process_title;
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(pause_pid_,
                   StartPauseProcess(absl::StrCat(run_dir_, "/pause"),
                                     process_title, std::nullopt));
  return absl::OkStatus();
}

absl::Status SandboxNamespaces::SetIds(const std::optional<IdMapping>& ids) {
  absl::MutexLock lock(&mutex_);
  if (ids_set_) {
    if (ids_ == ids) return absl::OkStatus();
    return absl::FailedPreconditionError(
        "the pod's user namespace is decided already");
  }
  if (ids.has_value()) {
    RETURN_IF_ERROR(CheckIdMapping(*ids));
    RETURN_IF_ERROR(EnterUserNamespace(*ids));
  }
  ids_ = ids;
  ids_set_ = true;
  return absl::OkStatus();
}

absl::Status SandboxNamespaces::EnterUserNamespace(const IdMapping& ids) {
  ASSIGN_OR_RETURN(
      const pid_t pid,
      StartPauseProcess(absl::StrCat(run_dir_, "/pause"), process_title_, ids));
  const absl::Status set_up = RunInNetworkNamespace(
      absl::StrCat("/proc/", pid, "/ns/net"), SetUpNetworkNamespace);
  if (!set_up.ok()) {
    kill(pid, SIGKILL);
    return Annotate(set_up, "the pod's network namespace");
  }
  kill(pause_pid_, SIGKILL);
  pause_pid_ = pid;
  return absl::OkStatus();
}

std::optional<IdMapping> SandboxNamespaces::ids() const {
  absl::MutexLock lock(&mutex_);
  return ids_;
}

std::string SandboxNamespaces::network_namespace() const {
  absl::MutexLock lock(&mutex_);
  return ids_.has_value() ? Namespace("net") : "";
}

pid_t SandboxNamespaces::network_process() const {
  absl::MutexLock lock(&mutex_);
  return ids_.has_value() ? pause_pid_ : 0;
}

std::string SandboxNamespaces::Namespace(absl::string_view name) const {
  return absl::StrCat("/proc/", pause_pid_, "/ns/", name);
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
  const pid_t pid = pause_pid_;
  const std::optional<IdMapping> ids = ids_;
  std::thread([&] { status = SetInNamespaces(pid, settings, ids); }).join();
  RETURN_IF_ERROR(status);
  RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(run_dir_, "/resolv.conf"),
                                      settings.resolv_conf, 0644));
  return MountShm(absl::StrCat(run_dir_, "/shm"), settings.shm_bytes, ids);
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
  return SandboxView{
      .ipc_namespace = Namespace("ipc"),
      .uts_namespace = Namespace("uts"),
      .pid_namespace = Namespace("pid"),
      .user_namespace = ids_.has_value() ? Namespace("user") : "",
      .network_namespace = ids_.has_value() ? Namespace("net") : "",
      .ids = ids_,
      .hostname = configured_->hostname,
      .addresses = addresses_,
      .resolv_conf_file = absl::StrCat(run_dir_, "/resolv.conf"),
      .shm_dir = absl::StrCat(run_dir_, "/shm"),
  };
}

}  // namespace podvisor
