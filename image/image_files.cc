#include "image/image_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/log.h"
#include "base/unique_fd.h"

namespace podvisor {

ImageFiles::ImageFiles(std::string directory)
    : directory_(std::move(directory)) {}

std::string ImageFiles::BlockPath(absl::string_view hex) const {
  return absl::StrCat(directory_, "/", hex, ".squashfs");
}

std::string ImageFiles::ConfigPath(absl::string_view hex) const {
  return absl::StrCat(directory_, "/", hex, ".config.json");
}

void ImageFiles::Adopt(const std::string& hex) {
  absl::MutexLock lock(&mutex_);
  entries_[hex].allocated_bytes = AllocatedBytes(hex);
}

absl::Status ImageFiles::Publish(const std::string& hex,
                                 const std::string& finished) {
  UniqueFd directory(
      open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid()) return ErrnoStatus(errno, directory_);
  absl::MutexLock lock(&mutex_);
  if (rename(finished.c_str(), BlockPath(hex).c_str()) != 0) {
    return ErrnoStatus(errno, finished);
  }
  Entry& entry = entries_[hex];
  entry.removed = false;
  entry.allocated_bytes = AllocatedBytes(hex);
  if (fsync(directory.get()) != 0) return ErrnoStatus(errno, directory_);
  return absl::OkStatus();
}

void ImageFiles::Remove(const std::string& hex) {
  absl::MutexLock lock(&mutex_);
  const auto found = entries_.find(hex);
  if (found == entries_.end()) return;
  found->second.removed = true;
  if (found->second.pins == 0) Delete(hex);
}

std::shared_ptr<const void> ImageFiles::Pin(const std::string& hex) {
  absl::MutexLock lock(&mutex_);
  const auto found = entries_.find(hex);
  if (found == entries_.end() || found->second.removed) return nullptr;
  ++found->second.pins;
  return std::shared_ptr<const void>(
      this,
      [self = shared_from_this(), hex](const void*) { self->Unpin(hex); });
}

ImageFiles::Usage ImageFiles::GetUsage() const {
  absl::MutexLock lock(&mutex_);
  Usage usage;
  for (const auto& [unused, entry] : entries_) {
    usage.bytes += entry.allocated_bytes;
    usage.inodes += 2;
  }
  return usage;
}

void ImageFiles::Unpin(const std::string& hex) {
  absl::MutexLock lock(&mutex_);
  Entry& entry = entries_[hex];
  if (--entry.pins == 0 && entry.removed) Delete(hex);
}

void ImageFiles::Delete(const std::string& hex) {
  for (const std::string& path : {BlockPath(hex), ConfigPath(hex)}) {
    if (unlink(path.c_str()) == 0 || errno == ENOENT) continue;
    // The next start sweeps it: no index names it any more.
    Log(LogLevel::kWarning, "an image file was not deleted",
        {{"path", path}, {"reason", ErrnoStatus(errno, "unlink").message()}});
  }
  entries_.erase(hex);
}

int64_t ImageFiles::AllocatedBytes(const std::string& hex) const {
  int64_t bytes = 0;
  for (const std::string& path : {BlockPath(hex), ConfigPath(hex)}) {
    struct stat info;
    if (lstat(path.c_str(), &info) == 0) bytes += info.st_blocks * 512;
  }
  return bytes;
}

}  // namespace podvisor
