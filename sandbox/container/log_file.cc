#include "sandbox/container/log_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <memory>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/errno_status.h"
#include "base/status_macros.h"

namespace podvisor {
namespace {

constexpr size_t kMaxPathBytes = 4096;
constexpr int kMaxDirectoryEntries = 4096;

struct CloseDirectory {
  void operator()(DIR* directory) const { closedir(directory); }
};

absl::Status OpenError(int error, absl::string_view what) {
  // ELOOP, EXDEV: openat2 met a link, or a way out. ENXIO: a FIFO.
  if (error == ELOOP || error == EXDEV || error == ENXIO || error == EISDIR) {
    return absl::FailedPreconditionError(
        absl::StrCat(what, " is not a plain file below its log directory"));
  }
  return ErrnoStatus(error, absl::StrCat("open ", what));
}

// Opens `path` below `directory` without following any link.
UniqueFd OpenBelow(int directory, const std::string& path, uint64_t flags,
                   mode_t mode) {
  open_how how = {};
  how.flags = flags | O_CLOEXEC | O_NOFOLLOW;
  how.mode = mode;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return UniqueFd(static_cast<int>(
      syscall(SYS_openat2, directory, path.c_str(), &how, sizeof(how))));
}

absl::StatusOr<std::vector<std::string>> SplitPath(absl::string_view path) {
  std::vector<std::string> parts = absl::StrSplit(path, '/');
  bool valid = path.size() <= kMaxPathBytes && !absl::StrContains(path, '\0');
  for (const std::string& part : parts) {
    valid = valid && !part.empty() && part != "." && part != "..";
  }
  if (!valid) {
    return absl::InvalidArgumentError(
        "log_path must be a plain path below log_directory");
  }
  return parts;
}

// Opens the directory above the file, making what is missing if asked.
absl::StatusOr<UniqueFd> OpenParent(const std::string& directory,
                                    const std::vector<std::string>& parts,
                                    bool make_directories) {
  if (!absl::StartsWith(directory, "/")) {
    return absl::InvalidArgumentError("log_directory must be absolute");
  }
  if (make_directories && mkdir(directory.c_str(), 0755) != 0 &&
      errno != EEXIST) {
    return ErrnoStatus(errno, absl::StrCat("make ", directory));
  }
  UniqueFd fd(open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, absl::StrCat("open ", directory));
  for (size_t i = 0; i + 1 < parts.size(); ++i) {
    if (make_directories && mkdirat(fd.get(), parts[i].c_str(), 0755) != 0 &&
        errno != EEXIST) {
      return ErrnoStatus(errno, absl::StrCat("make ", parts[i]));
    }
    UniqueFd next = OpenBelow(fd.get(), parts[i], O_PATH | O_DIRECTORY, 0);
    if (!next.valid()) {
      // A link is ENOTDIR here, because of O_DIRECTORY with O_NOFOLLOW.
      return errno == ENOTDIR ? OpenError(ELOOP, parts[i])
                              : OpenError(errno, parts[i]);
    }
    fd = std::move(next);
  }
  return fd;
}

FileIdentity IdentityOf(const struct stat& file) {
  return {static_cast<uint64_t>(file.st_dev),
          static_cast<uint64_t>(file.st_ino)};
}

// A second name would make us write into a file that is not a log.
absl::Status CheckPlainFile(const struct stat& file, absl::string_view name) {
  if (S_ISREG(file.st_mode) && file.st_nlink == 1 && file.st_uid == geteuid()) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrCat(name, " is not a plain file of ours"));
}

}  // namespace

absl::StatusOr<LogFile> OpenLogFile(const std::string& directory,
                                    absl::string_view path,
                                    bool make_directories) {
  ASSIGN_OR_RETURN(const std::vector<std::string> parts, SplitPath(path));
  ASSIGN_OR_RETURN(const UniqueFd parent,
                   OpenParent(directory, parts, make_directories));
  LogFile log;
  // Readable for CutLogFile(); O_NONBLOCK so that a FIFO cannot hold us up.
  log.fd = OpenBelow(parent.get(), parts.back(),
                     O_RDWR | O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY, 0640);
  if (!log.fd.valid()) return OpenError(errno, path);
  struct stat file = {};
  if (fstat(log.fd.get(), &file) != 0) return ErrnoStatus(errno, path);
  RETURN_IF_ERROR(CheckPlainFile(file, path));
  log.identity = IdentityOf(file);
  log.size = static_cast<uint64_t>(file.st_size);
  return log;
}

absl::Status CutLogFile(int fd, uint64_t size) {
  struct stat file = {};
  if (fstat(fd, &file) != 0) return ErrnoStatus(errno, "stat log");
  if (static_cast<uint64_t>(file.st_size) <= size) return absl::OkStatus();
  char last = '\n';
  if (size > 0 && pread(fd, &last, 1, static_cast<off_t>(size) - 1) != 1) {
    return ErrnoStatus(errno, "read log");
  }
  // A file that only has the inode number of ours: it was made after ours went.
  if (last != '\n') {
    return absl::FailedPreconditionError("the log is not the one it was");
  }
  if (ftruncate(fd, static_cast<off_t>(size)) != 0) {
    return ErrnoStatus(errno, "cut log");
  }
  return absl::OkStatus();
}

absl::Status CutRotatedLog(const std::string& directory, absl::string_view path,
                           const FileIdentity& identity, uint64_t size) {
  ASSIGN_OR_RETURN(const std::vector<std::string> parts, SplitPath(path));
  ASSIGN_OR_RETURN(const UniqueFd parent, OpenParent(directory, parts, false));
  UniqueFd listing(
      openat(parent.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!listing.valid()) return ErrnoStatus(errno, "list logs");
  const std::unique_ptr<DIR, CloseDirectory> entries(fdopendir(listing.get()));
  if (entries == nullptr) return ErrnoStatus(errno, "list logs");
  (void)listing.Release();
  for (int i = 0; i < kMaxDirectoryEntries; ++i) {
    const dirent* entry = readdir(entries.get());
    if (entry == nullptr) return absl::OkStatus();
    struct stat file = {};
    if (fstatat(parent.get(), entry->d_name, &file, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISREG(file.st_mode) || IdentityOf(file) != identity) {
      continue;
    }
    const UniqueFd fd = OpenBelow(parent.get(), entry->d_name,
                                  O_RDWR | O_NONBLOCK | O_NOCTTY, 0);
    if (!fd.valid()) return OpenError(errno, entry->d_name);
    if (fstat(fd.get(), &file) != 0) return ErrnoStatus(errno, "stat log");
    if (IdentityOf(file) != identity) return absl::OkStatus();
    RETURN_IF_ERROR(CheckPlainFile(file, entry->d_name));
    return CutLogFile(fd.get(), size);
  }
  return absl::OkStatus();
}

}  // namespace podvisor
