#ifndef PODVISOR_IMAGE_IMAGE_FILES_H_
#define PODVISOR_IMAGE_IMAGE_FILES_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"

namespace podvisor {

// The files of the images in one directory: "<hex>.squashfs", the block image,
// and "<hex>.config.json", the configuration, where <hex> is the image id.
//
// A removed image's files stay until its last pin is gone; a pull of the same
// image meanwhile takes them back. After a restart nothing is pinned: removed
// files are then swept, which a running QEMU with the file open survives.
//
// Held by shared_ptr, since pins outlive the store. Thread-safe.
class ImageFiles : public std::enable_shared_from_this<ImageFiles> {
 public:
  explicit ImageFiles(std::string directory);

  std::string BlockPath(absl::string_view hex) const;
  std::string ConfigPath(absl::string_view hex) const;

  // Notes files that are already there, at start-up.
  void Adopt(const std::string& hex) ABSL_LOCKS_EXCLUDED(mutex_);

  // Moves a finished block image into place, durably, over an older one.
  absl::Status Publish(const std::string& hex, const std::string& finished)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Deletes the files, at once or when the last pin goes.
  void Remove(const std::string& hex) ABSL_LOCKS_EXCLUDED(mutex_);

  // Nullptr when there are no such files, or they are removed.
  std::shared_ptr<const void> Pin(const std::string& hex)
      ABSL_LOCKS_EXCLUDED(mutex_);

  struct Usage {
    int64_t bytes = 0;  // allocated on disk
    int64_t inodes = 0;
  };
  // Of all files, removed but pinned ones too. From memory.
  Usage GetUsage() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Entry {
    int pins = 0;
    bool removed = false;
    int64_t allocated_bytes = 0;
  };

  void Unpin(const std::string& hex) ABSL_LOCKS_EXCLUDED(mutex_);
  void Delete(const std::string& hex) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  int64_t AllocatedBytes(const std::string& hex) const;

  const std::string directory_;
  mutable absl::Mutex mutex_;
  std::map<std::string, Entry> entries_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace podvisor

#endif  // PODVISOR_IMAGE_IMAGE_FILES_H_
