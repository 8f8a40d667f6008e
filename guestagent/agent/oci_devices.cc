#include "guestagent/agent/oci_devices.h"

#include <dirent.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <iterator>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/clean_text.h"

namespace podvisor {
namespace {

constexpr size_t kMaxDevices = 512;
constexpr int kLevels = 2;

bool IsWithheld(absl::string_view name) {
  static constexpr absl::string_view kEveryContainers[] = {
      "null", "zero",    "full",   "random", "urandom", "tty",
      "ptmx", "console", "pts",    "shm",    "mqueue",  "fd",
      "core", "stdin",   "stdout", "stderr"};
  return std::find(std::begin(kEveryContainers), std::end(kEveryContainers),
                   name) != std::end(kEveryContainers) ||
         absl::StartsWith(name, "vport") || absl::StartsWith(name, "hvc") ||
         absl::StartsWith(name, "tty") || absl::StartsWith(name, "vcs");
}

void List(const std::string& directory, const std::string& prefix, int levels,
          std::vector<DeviceNode>* nodes) {
  std::unique_ptr<DIR, int (*)(DIR*)> open_directory(opendir(directory.c_str()),
                                                     closedir);
  if (open_directory == nullptr) return;
  while (const dirent* entry = readdir(open_directory.get())) {
    const absl::string_view name = entry->d_name;
    if (name[0] == '.' || IsWithheld(name)) continue;
    const std::string from = absl::StrCat(directory, "/", name);
    const std::string path = absl::StrCat(prefix, "/", name);
    struct stat info = {};
    if (lstat(from.c_str(), &info) != 0) continue;
    if (S_ISDIR(info.st_mode) && levels > 1) {
      List(from, path, levels - 1, nodes);
    } else if ((S_ISBLK(info.st_mode) || S_ISCHR(info.st_mode)) &&
               nodes->size() < kMaxDevices) {
      nodes->push_back({path, S_ISBLK(info.st_mode), major(info.st_rdev),
                        minor(info.st_rdev), info.st_mode & 0777});
    }
  }
}

}  // namespace

std::vector<DeviceNode> ListDeviceNodes(const std::string& dev_dir) {
  std::vector<DeviceNode> nodes;
  List(dev_dir, "/dev", kLevels, &nodes);
  return nodes;
}

absl::StatusOr<DeviceNode> FindCharacterDevice(const std::string& path) {
  struct stat info = {};
  if (lstat(path.c_str(), &info) != 0 || !S_ISCHR(info.st_mode)) {
    return absl::NotFoundError(
        absl::StrCat("the guest has no device ", CleanText(path, 256)));
  }
  return DeviceNode{path, false, major(info.st_rdev), minor(info.st_rdev),
                    info.st_mode & 0777};
}

int64_t FindPortMajor(absl::string_view proc_devices) {
  for (absl::string_view line : absl::StrSplit(proc_devices, '\n')) {
    const std::vector<absl::string_view> fields =
        absl::StrSplit(line, ' ', absl::SkipEmpty());
    int64_t number = 0;
    if (fields.size() == 2 && fields[1] == "virtio-portsdev" &&
        absl::SimpleAtoi(fields[0], &number) && number > 0) {
      return number;
    }
  }
  return -1;
}

}  // namespace podvisor
