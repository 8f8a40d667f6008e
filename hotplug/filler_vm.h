#ifndef PODVISOR_HOTPLUG_FILLER_VM_H_
#define PODVISOR_HOTPLUG_FILLER_VM_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "hotplug/hotplug_vm.h"

namespace podvisor {

struct FillerVmOptions {
  int64_t boot_bytes = HotplugVm::kBootBytes;
  // Of the container; 0: none.
  int64_t memory_limit_bytes = 0;
};

// How a process that took memory without end came to its end.
struct EndlessFill {
  int signal = 0;          // that killed it
  int64_t peak_bytes = 0;  // the most that its container was charged
  // Whether it was the container's own cgroup that had no more, rather than
  // the guest.
  bool by_own_cgroup = false;
};

// A HotplugVm with one container that uses memory in all the ways there are,
// for tests and benchmarks. Its only program is memory_filler, which has to be
// built; its root is on a scratch disk of 3 GiB, /dirty is a tmpfs of 16 GiB.
//
// Not thread-safe. Everything of it is gone with the object.
class FillerVm {
 public:
  static absl::StatusOr<std::unique_ptr<FillerVm>> Start(
      const FillerVmOptions& options = {});
  ~FillerVm();

  FillerVm(const FillerVm&) = delete;
  FillerVm& operator=(const FillerVm&) = delete;

  HotplugVm& vm() { return *vm_; }

  // Makes the container's tmpfs hold so much: memory that can neither be
  // dropped nor written out.
  absl::Status FillTmpfs(int64_t bytes);
  // Makes the container write so much to its disk, and so to the page cache.
  absl::Status FillCache(int64_t bytes);
  // Takes anonymous memory, or tmpfs, until killed.
  absl::StatusOr<EndlessFill> FillWithoutEnd(bool tmpfs);

  // What the host pays for QEMU: Pss of smaps_rollup.
  absl::StatusOr<int64_t> PssBytes() const;
  // The same as soon as it is at most `wanted_bytes`, or as it is after a
  // second: QEMU frees the memory of a DIMM a moment after it is gone.
  absl::StatusOr<int64_t> SettledPssBytes(int64_t wanted_bytes) const;

 private:
  explicit FillerVm(std::string directory) : directory_(std::move(directory)) {}

  absl::Status MakeDisks();
  absl::Status StartContainer(int64_t memory_limit_bytes);
  // What memory_filler with these arguments printed.
  absl::StatusOr<std::string> Fill(std::vector<std::string> arguments);

  const std::string directory_;
  std::unique_ptr<HotplugVm> vm_;
};

}  // namespace podvisor

#endif  // PODVISOR_HOTPLUG_FILLER_VM_H_
