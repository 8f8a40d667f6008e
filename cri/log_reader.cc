#include "cri/log_reader.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

#include "base/errno_status.h"
#include "base/status_macros.h"
#include "cri/plain_file.h"

namespace podvisor {
namespace {

constexpr size_t kPieceBytes = 64 << 10;

}  // namespace

absl::Status LogReader::ReadOn(
    const std::function<void(absl::string_view)>& take) {
  if (file_.valid()) {
    RETURN_IF_ERROR(ReadToEnd(take));
    if (!WasRotated()) return absl::OkStatus();
    // Once more: written after the first look and before the rename.
    RETURN_IF_ERROR(ReadToEnd(take));
  }
  absl::StatusOr<UniqueFd> opened = OpenPlainFile(path_);
  // Between a rename and the new file there is none.
  if (file_.valid() && absl::IsNotFound(opened.status())) {
    return absl::OkStatus();
  }
  if (!opened.ok()) return opened.status();
  file_ = *std::move(opened);
  offset_ = 0;
  return ReadToEnd(take);
}

absl::Status LogReader::ReadToEnd(
    const std::function<void(absl::string_view)>& take) {
  struct stat info;
  if (fstat(file_.get(), &info) != 0) return ErrnoStatus(errno, path_);
  if (info.st_size < offset_) offset_ = 0;  // it was cut
  std::string piece(kPieceBytes, '\0');
  while (true) {
    const ssize_t got = pread(file_.get(), piece.data(), piece.size(), offset_);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, path_);
    if (got == 0) return absl::OkStatus();
    offset_ += got;
    take(absl::string_view(piece).substr(0, static_cast<size_t>(got)));
  }
}

bool LogReader::WasRotated() const {
  struct stat ours;
  struct stat there;
  if (fstat(file_.get(), &ours) != 0) return false;
  if (lstat(path_.c_str(), &there) != 0) return errno == ENOENT;
  return ours.st_ino != there.st_ino || ours.st_dev != there.st_dev;
}

}  // namespace podvisor
