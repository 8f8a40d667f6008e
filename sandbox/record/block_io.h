#ifndef PODVISOR_SANDBOX_RECORD_BLOCK_IO_H_
#define PODVISOR_SANDBOX_RECORD_BLOCK_IO_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace podvisor {

// Stored in records by number: a new one comes last.
enum class BlockIoType {
  kReadBytes = 0,  // bytes a second
  kWriteBytes = 1,
  kReadOperations = 2,  // operations a second
  kWriteOperations = 3,
  kWeight = 4,      // share among neighbours, 10 to 1000
  kLeafWeight = 5,  // the same, against cgroups below; only in cgroup v1
};

// By the number; as the annotation blkio_cgroup writes them.
inline constexpr absl::string_view kBlockIoTypeNames[] = {
    "throttle_read_bps",   "throttle_write_bps", "throttle_read_iops",
    "throttle_write_iops", "blkio_weight",       "blkio_leaf_weight"};

constexpr absl::string_view NameOf(BlockIoType type) {
  return kBlockIoTypeNames[static_cast<int>(type)];
}

// One limit on what a pod's processes on the host do to its disks. A value.
struct BlockIoLimit {
  BlockIoType type = BlockIoType::kReadBytes;
  std::string device;  // a path below /dev; empty: a weight for all devices
  int64_t value = 0;

  bool operator==(const BlockIoLimit&) const = default;
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_RECORD_BLOCK_IO_H_
