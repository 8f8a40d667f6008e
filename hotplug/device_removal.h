#ifndef PODVISOR_HOTPLUG_DEVICE_REMOVAL_H_
#define PODVISOR_HOTPLUG_DEVICE_REMOVAL_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "hotplug/qmp_client.h"

namespace podvisor {

// Removes a hot-plugged device (disk, NIC, ...; not a vCPU) and waits until it
// is gone from QEMU: only then may its backend be removed and its id be used
// again. A virtio device sends a DEVICE_DELETED for its inner part first, which
// is not the end. A device that is not there is OK, and so is one whose removal
// is under way already.
//
// `id` must be one that we generated.
//
// Errors:
//   FailedPrecondition  the guest refuses to let go of it, or QEMU rejects the
//                       removal. The device is still there.
//   DeadlineExceeded    the guest does not answer. It may let go later.
//   Unavailable, DataLoss: see QmpClient.
absl::Status RemoveDevice(QmpClient& qmp, Clock& clock, absl::string_view id,
                          absl::Time deadline);

// The same for a vCPU. QEMU 7.2 leaks the vCPU's object, so that no
// DEVICE_DELETED with its id ever comes: the event of its local APIC is the
// sign to look whether the slot is free. (Under TCG a QEMU that has removed a
// vCPU is killed by its next plug, be it of a vCPU: see vcpu_unplug.h.)
absl::Status RemoveVcpu(QmpClient& qmp, Clock& clock, absl::string_view id,
                        absl::Time deadline);

}  // namespace podvisor

#endif  // PODVISOR_HOTPLUG_DEVICE_REMOVAL_H_
