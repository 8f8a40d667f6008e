#ifndef PODVISOR_SANDBOX_RECORD_DISK_RESERVE_H_
#define PODVISOR_SANDBOX_RECORD_DISK_RESERVE_H_

#include <cstdint>
#include <string>
#include <utility>

namespace podvisor {

// Space on a file system that nobody else can take: a file of allocated blocks
// that is given up when the disk is full, so that stopping and removing pods,
// which is what frees a disk, can still be recorded. Not thread-safe.
class DiskReserve {
 public:
  DiskReserve(std::string path, int64_t bytes)
      : path_(std::move(path)), bytes_(bytes) {}

  // Allocates the space if it is not there. False when the disk has no room.
  bool Fill();

  // Frees the space, an earlier process's too. False when there was none.
  bool Spend();

 private:
  const std::string path_;
  const int64_t bytes_;
  bool filled_ = false;
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_RECORD_DISK_RESERVE_H_
