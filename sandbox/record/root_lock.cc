#include "sandbox/record/root_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/errno_status.h"
#include "base/file.h"
#include "base/status_macros.h"

namespace podvisor {
namespace {

std::string OwnerOf(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path, 64);
  int pid = 0;
  if (!text.ok() || !absl::SimpleAtoi(*text, &pid)) return "unknown pid";
  return absl::StrCat("pid ", pid);
}

}  // namespace

absl::StatusOr<RootLock> RootLock::Acquire(const std::string& root_dir) {
  RETURN_IF_ERROR(MakeDirectories(root_dir));
  const std::string path = absl::StrCat(root_dir, "/lock");
  UniqueFd fd(
      open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.valid()) return ErrnoStatus(errno, absl::StrCat("open ", path));
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) {
      return ErrnoStatus(errno, absl::StrCat("lock ", path));
    }
    return absl::FailedPreconditionError(absl::StrCat(
        root_dir, " is in use by another podvisord (", OwnerOf(path), ")"));
  }
  // Only for people: the lock holds also where the disk is full.
  if (ftruncate(fd.get(), 0) == 0) {
    (void)WriteAll(fd.get(), absl::StrCat(getpid(), "\n"));
  }
  return RootLock(std::move(fd));
}

}  // namespace podvisor
