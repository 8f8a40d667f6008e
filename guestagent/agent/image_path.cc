#include "guestagent/agent/image_path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "base/clean_text.h"
#include "base/errno_status.h"
#include "base/unique_fd.h"

namespace podvisor {

absl::StatusOr<std::string> PathInImage(const std::string& image_dir,
                                        const std::string& sub_path) {
  const UniqueFd image(
      open(image_dir.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!image.valid()) {
    return absl::FailedPreconditionError("the image is not mounted");
  }
  if (sub_path.empty()) return image_dir;
  open_how how = {};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS;
  const std::string name =
      absl::StrCat("\"", CleanText(sub_path, 256), "\" of the image");
  const UniqueFd found(static_cast<int>(
      syscall(SYS_openat2, image.get(), sub_path.c_str(), &how, sizeof(how))));
  if (!found.valid()) {
    if (errno == ENOENT || errno == ENOTDIR) {
      return absl::NotFoundError(absl::StrCat(name, " does not exist"));
    }
    return ErrnoStatus(errno, name);
  }
  struct stat info = {};
  if (fstat(found.get(), &info) != 0) return ErrnoStatus(errno, name);
  if (!S_ISDIR(info.st_mode) && !S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, " is neither a directory nor a file"));
  }
  char path[PATH_MAX];
  const ssize_t n = readlink(
      absl::StrCat("/proc/self/fd/", found.get()).c_str(), path, sizeof(path));
  if (n < 0) return ErrnoStatus(errno, name);
  return std::string(path, n);
}

}  // namespace podvisor
