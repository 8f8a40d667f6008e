#include "base/user_namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/file.h"
#include "base/status_macros.h"

namespace podvisor {
namespace {

// A process in a new user namespace, gone with the object.
class NamespaceHolder {
 public:
  static absl::StatusOr<NamespaceHolder> Start() {
    const pid_t parent = getpid();
    // Not fork(): no handlers run. The child makes system calls only.
    const long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, nullptr,
                             nullptr, nullptr, nullptr);
    if (pid < 0) return ErrnoStatus(errno, "make a user namespace");
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      close_range(0, ~0U, 0);
      if (getppid() == parent) {
        for (;;) pause();
      }
      _exit(0);
    }
    return NamespaceHolder(static_cast<pid_t>(pid));
  }
  NamespaceHolder(NamespaceHolder&& other) noexcept : pid_(other.pid_) {
    other.pid_ = 0;
  }
  NamespaceHolder& operator=(NamespaceHolder&&) = delete;
  ~NamespaceHolder() {
    if (pid_ == 0) return;
    kill(pid_, SIGKILL);
    while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
  }

  pid_t pid() const { return pid_; }

 private:
  explicit NamespaceHolder(pid_t pid) : pid_(pid) {}

  pid_t pid_;
};

}  // namespace

absl::Status WriteIdMapping(pid_t pid, const IdMapping& mapping) {
  const std::string line =
      absl::StrCat("0 ", mapping.host_id, " ", mapping.length, "\n");
  for (const char* map : {"uid_map", "gid_map"}) {
    const std::string path = absl::StrCat("/proc/", pid, "/", map);
    const UniqueFd file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!file.valid()) return ErrnoStatus(errno, path);
    RETURN_IF_ERROR(Annotate(WriteAll(file.get(), line), path));
  }
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> OpenUserNamespace(const IdMapping& mapping) {
  RETURN_IF_ERROR(CheckIdMapping(mapping));
  ASSIGN_OR_RETURN(const NamespaceHolder holder, NamespaceHolder::Start());
  RETURN_IF_ERROR(WriteIdMapping(holder.pid(), mapping));
  const std::string path = absl::StrCat("/proc/", holder.pid(), "/ns/user");
  UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return ErrnoStatus(errno, path);
  return file;
}

}  // namespace podvisor
