#ifndef PODVISOR_SANDBOX_VM_DEVICES_H_
#define PODVISOR_SANDBOX_VM_DEVICES_H_

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
#include "sandbox/vm.h"

namespace podvisor {

// Plugs disks, the share and the network interface into one running QEMU.
//
// Keeps no book: what is plugged is asked of QEMU each time, so that a daemon
// that was killed half-way goes on where the last one stopped. What such a
// daemon left of a device that is not plugged (descriptors, block nodes,
// backends) is removed when the device is next attached.
//
// The methods are those of Vm and documented there. Thread-safe: one at a time.
class VmDevices {
 public:
  // Borrows both, which outlive it. `bridges` as in VmSpec.
  VmDevices(QmpClient* qmp, Clock* clock, int bridges);

  absl::Status AttachDisk(const DiskAttachment& disk, absl::Time deadline)
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status DetachDisk(absl::string_view serial, absl::Time deadline)
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<bool> HasShare(absl::Time deadline)
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status AttachShare(UniqueFd virtiofsd, absl::string_view tag,
                           absl::Time deadline) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status DetachShare(absl::Time deadline) ABSL_LOCKS_EXCLUDED(mutex_);
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

#endif  // PODVISOR_SANDBOX_VM_DEVICES_H_
