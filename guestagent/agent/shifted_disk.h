#ifndef PODVISOR_GUESTAGENT_AGENT_SHIFTED_DISK_H_
#define PODVISOR_GUESTAGENT_AGENT_SHIFTED_DISK_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/id_mapping.h"
#include "guestagent/agent/kernel_modules.h"

namespace podvisor {

// The block device of an image whose files belong to a pod's user namespace:
// most of it is the image's own disk; the few KiB that say who owns what
// (squashfs_ids.h) lie in memory. Device mapper puts them together.
//
// Why: the guest's kernel has no id-mapped mounts of squashfs, and to chown
// copies of all inodes takes time and room with each pod.
//
// Not thread-safe. Read-only.
class ShiftedDisk {
 public:
  // `device` is a squashfs image's ("/dev/vdb"); `name` is for this device
  // only: letters, digits and '-', at most 100. One of that name that an
  // attempt left is removed.
  //
  // Errors: those of ShiftSquashfsIds(), and the kernel's.
  static absl::StatusOr<std::unique_ptr<ShiftedDisk>> Create(
      const std::string& device, absl::string_view name,
      const IdMapping& mapping, KernelModules* modules);

  ShiftedDisk(const ShiftedDisk&) = delete;
  ShiftedDisk& operator=(const ShiftedDisk&) = delete;
  // Removes the device; an error (it is mounted) is logged.
  ~ShiftedDisk();

  // The device to mount: "/dev/dm-0".
  const std::string& path() const { return path_; }

  // Nobody uses it any more. FailedPrecondition when somebody does; again is
  // fine.
  absl::Status Remove();

 private:
  ShiftedDisk(std::string name, std::string path)
      : name_(std::move(name)), path_(std::move(path)) {}

  std::string name_;  // empty: removed
  const std::string path_;
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_SHIFTED_DISK_H_
