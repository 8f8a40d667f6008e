#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/ids.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"

namespace podvisor {
namespace {

// Removes a file that was not renamed into place.
class TemporaryFile {
 public:
  explicit TemporaryFile(std::string path) : path_(std::move(path)) {}
  ~TemporaryFile() {
    if (!path_.empty()) unlink(path_.c_str());
  }
  void Keep() { path_.clear(); }

 private:
  std::string path_;
};

// A tree that may be hostile: deeper than a stack or a path can be, and full of
// any names. What lies below the second level is moved up to the first, so that
// there never is more than one directory open below the top.
class TreeRemover {
 public:
  TreeRemover(int top, dev_t device) : top_(top), device_(device) {}

  // Leaves the top empty.
  absl::Status Run() {
    ASSIGN_OR_RETURN(const Entries entries, Open(top_, "."));
    for (bool empty = false; !empty;) {
      empty = true;
      rewinddir(entries.get());
      while (const dirent* entry = readdir(entries.get())) {
        if (IsDots(entry->d_name)) continue;
        empty = false;
        RETURN_IF_ERROR(RemoveEntry(entry->d_name));
      }
    }
    return absl::OkStatus();
  }

 private:
  using Entries = std::unique_ptr<DIR, int (*)(DIR*)>;

  static bool IsDots(absl::string_view name) {
    return name == "." || name == "..";
  }

  // A directory of this file system.
  absl::StatusOr<Entries> Open(int parent, const std::string& name) const {
    UniqueFd fd(openat(parent, name.c_str(),
                       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    struct stat info;
    if (!fd.valid() || fstat(fd.get(), &info) != 0) {
      return ErrnoStatus(errno, name);
    }
    if (info.st_dev != device_) {
      return absl::FailedPreconditionError(
          absl::StrCat(name, " is a mount point: not removed"));
    }
    Entries entries(fdopendir(fd.get()), closedir);
    if (entries == nullptr) return ErrnoStatus(errno, name);
    (void)fd.Release();
    return entries;
  }

  // False for a directory.
  static absl::StatusOr<bool> Unlink(int parent, const std::string& name) {
    if (unlinkat(parent, name.c_str(), 0) == 0 || errno == ENOENT) return true;
    if (errno == EISDIR || errno == EPERM) return false;
    return ErrnoStatus(errno, name);
  }

  absl::Status RemoveEntry(const std::string& name) {
    ASSIGN_OR_RETURN(const bool unlinked, Unlink(top_, name));
    if (unlinked) return absl::OkStatus();
    ASSIGN_OR_RETURN(const Entries entries, Open(top_, name));
    const int directory = dirfd(entries.get());
    while (const dirent* entry = readdir(entries.get())) {
      const std::string child = entry->d_name;
      if (IsDots(child)) continue;
      ASSIGN_OR_RETURN(const bool gone, Unlink(directory, child));
      if (!gone) RETURN_IF_ERROR(MoveUp(directory, child));
    }
    if (unlinkat(top_, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
      return ErrnoStatus(errno, name);
    }
    return absl::OkStatus();
  }

  absl::Status MoveUp(int from, const std::string& name) {
    // A mount point is busy, which is a worse thing to say.
    RETURN_IF_ERROR(Open(from, name).status());
    for (;;) {
      const std::string free = absl::StrCat(".removed-", next_name_++);
      if (renameat(from, name.c_str(), top_, free.c_str()) == 0) {
        return absl::OkStatus();
      }
      const bool taken =
          errno == EEXIST || errno == ENOTEMPTY || errno == ENOTDIR;
      if (!taken) return ErrnoStatus(errno, name);
    }
  }

  const int top_;
  const dev_t device_;
  uint64_t next_name_ = 0;
};

std::string DirectoryOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

absl::StatusOr<std::string> ReadFile(const std::string& path,
                                     size_t max_bytes) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, path);
  std::string data;
  char buffer[16384];
  for (;;) {
    const ssize_t n = read(fd.get(), buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, path);
    if (n == 0) return data;
    data.append(buffer, n);
    if (data.size() > max_bytes) {
      return absl::ResourceExhaustedError(
          absl::StrCat(path, " is longer than ", max_bytes, " bytes"));
    }
  }
}

absl::Status WriteAll(int fd, absl::string_view data) {
  while (!data.empty()) {
    const ssize_t n = write(fd, data.data(), data.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, "write");
    data.remove_prefix(n);
  }
  return absl::OkStatus();
}

absl::Status WriteFileAtomically(const std::string& path,
                                 absl::string_view data, mode_t mode) {
  const std::string temporary =
      absl::StrCat(path, ".", RandomHexId().substr(0, 12), ".tmp");
  UniqueFd fd(open(temporary.c_str(),
                   O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
  if (!fd.valid()) return ErrnoStatus(errno, temporary);
  TemporaryFile unlinked(temporary);
  RETURN_IF_ERROR(Annotate(WriteAll(fd.get(), data), temporary));
  if (fsync(fd.get()) != 0) return ErrnoStatus(errno, temporary);
  if (rename(temporary.c_str(), path.c_str()) != 0) {
    return ErrnoStatus(errno, path);
  }
  unlinked.Keep();
  UniqueFd directory(
      open(DirectoryOf(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid() || fsync(directory.get()) != 0) {
    return ErrnoStatus(errno, DirectoryOf(path));
  }
  return absl::OkStatus();
}

absl::Status MakeDirectories(const std::string& path, mode_t mode) {
  for (size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    const std::string prefix = path.substr(0, slash);
    if (mkdir(prefix.c_str(), mode) != 0 && errno != EEXIST) {
      return ErrnoStatus(errno, prefix);
    }
    if (slash == std::string::npos) break;
  }
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return ErrnoStatus(errno, path);
  if (!S_ISDIR(info.st_mode)) return ErrnoStatus(ENOTDIR, path);
  return absl::OkStatus();
}

absl::Status RemoveTree(const std::string& path) {
  struct stat info;
  if (lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return absl::OkStatus();
    return ErrnoStatus(errno, path);
  }
  if (!S_ISDIR(info.st_mode)) {
    return unlink(path.c_str()) == 0 || errno == ENOENT
               ? absl::OkStatus()
               : ErrnoStatus(errno, path);
  }
  UniqueFd top(
      open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!top.valid()) return ErrnoStatus(errno, path);
  RETURN_IF_ERROR(TreeRemover(top.get(), info.st_dev).Run());
  if (rmdir(path.c_str()) != 0 && errno != ENOENT) {
    return ErrnoStatus(errno, path);
  }
  return absl::OkStatus();
}

}  // namespace podvisor
