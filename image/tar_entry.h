#ifndef PODVISOR_IMAGE_TAR_ENTRY_H_
#define PODVISOR_IMAGE_TAR_ENTRY_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace podvisor {

enum class TarType {
  kFile,
  kHardLink,
  kSymlink,
  kCharDevice,
  kBlockDevice,
  kDirectory,
  kFifo,
};

// One member of a tar archive. A value.
struct TarEntry {
  std::string path;  // as the archive spells it: any bytes but NUL
  TarType type = TarType::kFile;
  std::string link;   // target of a hard or symbolic link
  uint32_t mode = 0;  // the lower twelve bits
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t mtime = 0;  // seconds; clamped to what squashfs can hold
  uint32_t device_major = 0;
  uint32_t device_minor = 0;
  int64_t size = 0;         // of a file's data
  int64_t data_offset = 0;  // of a file's data in the archive
  std::vector<std::pair<std::string, std::string>> xattrs;

  bool operator==(const TarEntry&) const = default;
};

}  // namespace podvisor

#endif  // PODVISOR_IMAGE_TAR_ENTRY_H_
