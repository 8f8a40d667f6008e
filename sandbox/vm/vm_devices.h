#ifndef PODVISOR_SANDBOX_VM_VM_DEVICES_H_
#define PODVISOR_SANDBOX_VM_VM_DEVICES_H_

#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/unique_fd.h"
#include "hotplug/qmp_client.h"

namespace podvisor {

// A block device. The access mode of `fd` is what QEMU can do, whatever it is
// told later: open images O_RDONLY.
struct DiskAttachment {
  std::string serial;  // IsDiskSerial(); how the guest finds the disk
  int fd = -1;         // borrowed during the call
  bool read_only = true;
};

// A network interface: a tap opened with IFF_VNET_HDR.
struct NicAttachment {
  int tap_fd = -1;  // borrowed during the call
  std::string mac;  // "02:00:00:00:00:01"
  int mtu = 1500;   // the guest's interface gets it by itself
};

// Plugs disks, the share and the network interface into one running QEMU.
//
// Keeps no book: what is plugged is asked of QEMU each time, so that a daemon
// that was killed half-way goes on where the last one stopped. What such a
// daemon left of a device that is not plugged (descriptors, block nodes,
// backends) is removed when the device is next attached.
//
// Thread-safe: one call at a time. Errors of all: DeadlineExceeded, and
// Unavailable when QEMU is gone.
class VmDevices {
 public:
  // Borrows both, which outlive it. `bridges` as in VmSpec.
  VmDevices(QmpClient* qmp, Clock* clock, int bridges);

  // Plugs a disk. OK: QEMU has it; the agent finds it by its serial. OK also
  // when a disk with this serial is already there. After an error it is not
  // there, except that after DeadlineExceeded and Unavailable it may be: then
  // attach it again, or detach it. ResourceExhausted: no slot is free.
  absl::Status AttachDisk(const DiskAttachment& disk, absl::Time deadline)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Returns once the guest has let go and QEMU has closed the file. OK when
  // there is no such disk. DeadlineExceeded: the guest keeps it; call again.
  absl::Status DetachDisk(absl::string_view serial, absl::Time deadline)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Whether QEMU has the virtio-fs device.
  absl::StatusOr<bool> HasShare(absl::Time deadline)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Plugs the virtio-fs device whose virtiofsd is at the other end of the
  // connected socket. `tag` is 1 to 32 of [a-z0-9-]. At most one per VM;
  // AlreadyExists for a second.
  absl::Status AttachShare(UniqueFd virtiofsd, absl::string_view tag,
                           absl::Time deadline) ABSL_LOCKS_EXCLUDED(mutex_);
  // Removes the virtio-fs device; its virtiofsd then ends. OK without one.
  absl::Status DetachShare(absl::Time deadline) ABSL_LOCKS_EXCLUDED(mutex_);

  // Plugs the pod's network interface. At most one; AlreadyExists.
  absl::Status AttachNic(const NicAttachment& nic, absl::Time deadline)
      ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  absl::StatusOr<std::vector<std::string>> DeviceIds(absl::Time deadline);
  absl::StatusOr<bool> HasDevice(absl::string_view id, absl::Time deadline);
  absl::Status RemoveFdSets(absl::string_view opaque, absl::Time deadline);
  // The block node and its descriptors; OK when there are none.
  absl::Status RemoveBlockNode(absl::string_view serial, absl::Time deadline);
  absl::Status AddBlockNode(const DiskAttachment& disk, absl::Time deadline);

  QmpClient* const qmp_;
  Clock* const clock_;
  const int bridges_;
  absl::Mutex mutex_;  // held for a whole operation
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_VM_VM_DEVICES_H_
