#include "guestagent/agent/pause_process.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/errno_status.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "base/user_namespace.h"

namespace podvisor {
namespace {

// What follows runs in the pause process: only system calls.

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

// Once `mapped` can be read from, 0 is somebody in the new user namespace. Not
// setuid(3), which would ask the threads of the original to do the same.
void BecomeRootOfTheNamespace(int mapped) {
  char byte;
  if (read(mapped, &byte, 1) != 1 || syscall(SYS_setgroups, 0, nullptr) != 0 ||
      syscall(SYS_setresgid, 0, 0, 0) != 0 ||
      syscall(SYS_setresuid, 0, 0, 0) != 0) {
    _exit(1);
  }
}

}  // namespace

absl::StatusOr<pid_t> StartPauseProcess(const std::string& empty_dir,
                                        char* process_title,
                                        const std::optional<IdMapping>& ids) {
  RETURN_IF_ERROR(MakeDirectories(empty_dir));
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe");
  const UniqueFd mapped(ends[0]);
  const UniqueFd tell(ends[1]);
  // Raw clone: posix_spawn cannot make namespaces, and an exec of the agent
  // would cost time at each boot.
  const unsigned long own = ids.has_value() ? CLONE_NEWUSER | CLONE_NEWNET : 0;
  const long pid = syscall(
      SYS_clone,
      CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWPID | CLONE_NEWNS | own | SIGCHLD,
      nullptr, nullptr, nullptr, nullptr);
  if (pid < 0) return ErrnoStatus(errno, "clone the pause process");
  if (pid == 0) {
    close(tell.get());
    if (own != 0) BecomeRootOfTheNamespace(mapped.get());
    Pause(empty_dir.c_str(), process_title);
  }
  const pid_t child = static_cast<pid_t>(pid);
  if (!ids.has_value()) return child;
  absl::Status told = WriteIdMapping(child, *ids);
  if (told.ok()) told = WriteAll(tell.get(), "m");
  if (!told.ok()) {
    kill(child, SIGKILL);
    return Annotate(told, "the pod's user namespace");
  }
  return child;
}

}  // namespace podvisor
