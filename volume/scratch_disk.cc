#include "volume/scratch_disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/clean_text.h"
#include "base/errno_status.h"
#include "base/file.h"
#include "base/process.h"
#include "base/status_macros.h"

namespace podvisor {
namespace {

// Removes a file unless it was put in its place.
class Unfinished {
 public:
  explicit Unfinished(std::string path) : path_(std::move(path)) {}
  ~Unfinished() {
    if (!path_.empty()) unlink(path_.c_str());
  }
  Unfinished(const Unfinished&) = delete;
  Unfinished& operator=(const Unfinished&) = delete;
  void Keep() { path_.clear(); }

 private:
  std::string path_;
};

absl::StatusOr<UniqueFd> OpenFile(const std::string& path, int flags) {
  UniqueFd fd(open(path.c_str(), flags | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.valid()) return ErrnoStatus(errno, path);
  return fd;
}

// Copies [begin, end) of one file to the same place of another.
absl::Status CopyRange(int from, int to, off_t begin, off_t end) {
  if (lseek(to, begin, SEEK_SET) < 0) return ErrnoStatus(errno, "lseek");
  while (begin < end) {
    const ssize_t n = sendfile(to, from, &begin, end - begin);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, "copy the scratch disk's template");
    if (n == 0)
      return absl::DataLossError("the scratch disk's template shrank");
  }
  return absl::OkStatus();
}

// Copies only what is written; shares the blocks where the file system can.
absl::Status CopySparse(int from, int to, int64_t size) {
  if (ioctl(to, FICLONE, from) == 0) return absl::OkStatus();
  if (ftruncate(to, size) != 0) return ErrnoStatus(errno, "ftruncate");
  off_t end = 0;
  while (end < size) {
    const off_t begin = lseek(from, end, SEEK_DATA);
    if (begin < 0 && errno == ENXIO) break;  // a hole to the end
    if (begin < 0) return ErrnoStatus(errno, "SEEK_DATA");
    end = lseek(from, begin, SEEK_HOLE);
    if (end < 0) return ErrnoStatus(errno, "SEEK_HOLE");
    RETURN_IF_ERROR(CopyRange(from, to, begin, end));
  }
  return absl::OkStatus();
}

// No journal: the disk dies with its pod. The tables are zero already, in a
// file that is sparse.
absl::Status MakeFileSystem(const std::string& path, absl::Time deadline) {
  CommandOptions mkfs;
  mkfs.argv = {"mkfs.ext4",
               "-q",
               "-F",
               "-m",
               "0",
               "-O",
               "^has_journal",
               "-E",
               "lazy_itable_init=1,lazy_journal_init=1",
               path};
  mkfs.deadline = deadline;
  ASSIGN_OR_RETURN(const CommandResult result, RunCommand(mkfs));
  if (result.exit_code != 0) {
    const std::string message =
        absl::StrCat("mkfs.ext4 failed: ", CleanText(result.stderr_data, 1024));
    // It has one exit code for everything.
    return absl::StrContains(message, "No space left")
               ? absl::ResourceExhaustedError(message)
               : absl::InternalError(message);
  }
  return absl::OkStatus();
}

}  // namespace

ScratchDisks::ScratchDisks(std::string root_dir, int64_t size_bytes)
    : root_dir_(std::move(root_dir)), size_bytes_(size_bytes) {}

std::string ScratchDisks::PodPath(const PodId& id) const {
  return absl::StrCat(root_dir_, "/pods/", id.value());
}

std::string ScratchDisks::DiskPath(const PodId& id) const {
  return absl::StrCat(PodPath(id), "/scratch.img");
}

std::string ScratchDisks::TemplatePath() const {
  return absl::StrCat(root_dir_, "/scratch-", size_bytes_, ".template");
}

absl::Status ScratchDisks::EnsureTemplate(const PodId& id,
                                          absl::Time deadline) {
  const std::string path = TemplatePath();
  struct stat info;
  if (lstat(path.c_str(), &info) == 0 && info.st_size == size_bytes_) {
    return absl::OkStatus();
  }
  const std::string temporary = absl::StrCat(PodPath(id), "/template.tmp");
  unlink(temporary.c_str());
  Unfinished unfinished(temporary);
  ASSIGN_OR_RETURN(const UniqueFd fd,
                   OpenFile(temporary, O_RDWR | O_CREAT | O_EXCL));
  if (ftruncate(fd.get(), size_bytes_) != 0) return ErrnoStatus(errno, path);
  RETURN_IF_ERROR(MakeFileSystem(temporary, deadline));
  if (fsync(fd.get()) != 0) return ErrnoStatus(errno, path);
  if (rename(temporary.c_str(), path.c_str()) != 0) {
    return ErrnoStatus(errno, path);
  }
  unfinished.Keep();
  return absl::OkStatus();
}

absl::StatusOr<UniqueFd> ScratchDisks::Create(const PodId& id,
                                              absl::Time deadline) {
  if (!IsHexId(id.value())) return absl::InvalidArgumentError("not a pod's id");
  RETURN_IF_ERROR(MakeDirectories(PodPath(id), 0700));
  RETURN_IF_ERROR(EnsureTemplate(id, deadline));
  ASSIGN_OR_RETURN(const UniqueFd from, OpenFile(TemplatePath(), O_RDONLY));
  const std::string path = DiskPath(id);
  unlink(path.c_str());
  Unfinished unfinished(path);
  ASSIGN_OR_RETURN(UniqueFd to, OpenFile(path, O_RDWR | O_CREAT | O_EXCL));
  RETURN_IF_ERROR(CopySparse(from.get(), to.get(), size_bytes_));
  unfinished.Keep();
  return to;
}

absl::Status ScratchDisks::Remove(const PodId& id) {
  if (!IsHexId(id.value())) return absl::InvalidArgumentError("not a pod's id");
  return RemoveTree(PodPath(id));
}

absl::StatusOr<std::vector<PodId>> ScratchDisks::List() const {
  const std::string pods = absl::StrCat(root_dir_, "/pods");
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(opendir(pods.c_str()),
                                                    closedir);
  std::vector<PodId> all;
  if (entries == nullptr) {
    if (errno == ENOENT) return all;
    return ErrnoStatus(errno, pods);
  }
  while (const dirent* entry = readdir(entries.get())) {
    if (IsHexId(entry->d_name)) all.emplace_back(entry->d_name);
  }
  return all;
}

absl::StatusOr<ScratchDisks::Usage> ScratchDisks::GetUsage() const {
  ASSIGN_OR_RETURN(const std::vector<PodId> pods, List());
  Usage usage;
  for (const PodId& id : pods) {
    struct stat info;
    // One that has just been removed takes nothing.
    if (lstat(DiskPath(id).c_str(), &info) != 0) continue;
    usage.bytes += int64_t{info.st_blocks} * 512;  // stat(2)
    ++usage.inodes;
  }
  return usage;
}

absl::StatusOr<std::vector<PodId>> ScratchDisks::Sweep(
    const std::set<PodId>& live) {
  ASSIGN_OR_RETURN(const std::vector<PodId> pods, List());
  std::vector<PodId> removed;
  for (const PodId& id : pods) {
    if (live.count(id) > 0) continue;
    RETURN_IF_ERROR(Remove(id));
    removed.push_back(id);
  }
  return removed;
}

}  // namespace podvisor
