#ifndef PODVISOR_GUESTAGENT_AGENT_DISK_MOUNT_H_
#define PODVISOR_GUESTAGENT_AGENT_DISK_MOUNT_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/id_mapping.h"
#include "guestagent/agent/kernel_modules.h"
#include "guestagent/agent/shifted_disk.h"

namespace podvisor {

// The name in `block_dir` (/sys/block) of the disk with that serial number.
// NotFound. The order of names says nothing about the order of plugging.
absl::StatusOr<std::string> FindDisk(const std::string& block_dir,
                                     absl::string_view serial);

// Mounts the disks of the pod: images read-only at `images_dir`/IMAGE, the
// scratch disk at `scratch_dir`. Disks that are still arriving are waited for.
//
// Thread-safe. What is mounted stays so when this object is gone.
//
// Errors: InvalidArgument (serial, image name or file system type that cannot
// be), DeadlineExceeded (no such disk came), DataLoss (it does not hold that
// file system), FailedPrecondition (another disk is mounted there; still in
// use), Cancelled.
class DiskMount {
 public:
  DiskMount(std::string images_dir, std::string scratch_dir,
            KernelModules* modules);

  // `fs_type` is "squashfs". `ids`: those of the pod's user namespace, to which
  // the image's files then belong. OK when it is mounted already.
  absl::Status MountImage(const std::string& serial, const std::string& image,
                          const std::string& fs_type,
                          const std::optional<IdMapping>& ids,
                          const std::function<bool()>& cancelled);
  // OK when it is not mounted.
  absl::Status UnmountImage(const std::string& image);

  // An ext4 file system. OK when it is mounted already.
  absl::Status MountScratch(const std::string& serial,
                            const std::function<bool()>& cancelled);

 private:
  struct Place {
    std::string serial;
    std::string target;
    std::string fs_type;
    unsigned long flags = 0;
    const char* options = "";
    std::optional<IdMapping> ids;
  };
  struct Mounted {
    std::string serial;
    // Lies between the disk and the mount, in a user namespace.
    std::unique_ptr<ShiftedDisk> shifted;
    bool unmounted = false;  // but the device is not removed yet
  };
  absl::Status MountAt(const Place& place,
                       const std::function<bool()>& cancelled);
  absl::Status MountAgain(const Place& place, Mounted* mounted)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status ShiftIds(const Place& place, const std::string& device,
                        const std::function<bool()>& cancelled,
                        Mounted* mounted);
  absl::Status WaitAndMount(const Place& place,
                            const std::function<bool()>& cancelled,
                            Mounted* mounted);
  void LockTarget(const std::string& target)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string images_dir_;
  const std::string scratch_dir_;
  KernelModules* const modules_;
  absl::Mutex mutex_;
  std::map<std::string, Mounted> mounted_ ABSL_GUARDED_BY(mutex_);
  // Targets that a call works on without the lock: a disk that does not come
  // holds up no other.
  std::set<std::string> busy_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_DISK_MOUNT_H_
