#include "guestagent/agent/container_layer_usage.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>

#include "absl/strings/string_view.h"
#include "base/unique_fd.h"

namespace podvisor {
namespace {

// Deeper directories are not entered: each level holds a descriptor.
constexpr int kMaxDepth = 128;

class LayerWalk {
 public:
  LayerWalk(uint64_t max_entries, Deadline deadline)
      : max_entries_(max_entries), deadline_(deadline) {}

  void EnterRoot(const std::string& root) {
    UniqueFd fd(
        open(root.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    struct stat info = {};
    if (!fd.valid() || fstat(fd.get(), &info) != 0) return;
    device_ = info.st_dev;
    Enter(std::move(fd), 0);
  }

  const LayerUsage& usage() const { return usage_; }

 private:
  // Takes the descriptor of a directory.
  void Enter(UniqueFd fd, int depth) {
    std::unique_ptr<DIR, int (*)(DIR*)> directory(fdopendir(fd.get()),
                                                  closedir);
    if (directory == nullptr) return;
    const int parent = fd.Release();  // closedir() closes it
    while (const dirent* entry = readdir(directory.get())) {
      const absl::string_view name = entry->d_name;
      if (name == "." || name == "..") continue;
      if (!Count(parent, entry->d_name, depth)) return;
    }
  }

  // False when the bound is reached.
  bool Count(int parent, const char* name, int depth) {
    // The clock is asked now and then only.
    if (usage_.inodes >= max_entries_ ||
        (usage_.inodes % 256 == 255 && deadline_.IsOver())) {
      usage_.complete = false;
      return false;
    }
    struct stat info = {};
    if (fstatat(parent, name, &info, AT_SYMLINK_NOFOLLOW) != 0) return true;
    if (info.st_dev != device_) return true;
    ++usage_.inodes;
    usage_.bytes += static_cast<uint64_t>(info.st_blocks) * 512;
    if (!S_ISDIR(info.st_mode)) return true;
    if (depth + 1 >= kMaxDepth) {
      usage_.complete = false;
      return true;
    }
    UniqueFd child(
        openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (child.valid()) Enter(std::move(child), depth + 1);
    return usage_.complete;
  }

  const uint64_t max_entries_;
  const Deadline deadline_;
  dev_t device_ = 0;
  LayerUsage usage_;
};

}  // namespace

LayerUsage MeasureLayer(const std::string& root, uint64_t max_entries,
                        Deadline deadline) {
  LayerWalk walk(max_entries, deadline);
  walk.EnterRoot(root);
  return walk.usage();
}

}  // namespace podvisor
