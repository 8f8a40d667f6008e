// The commands that add and remove DIMMs. The one in slot 3 is the device
// "dimm3" with the backend "dimmbackend3".

#ifndef PODVISOR_HOTPLUG_DIMM_H_
#define PODVISOR_HOTPLUG_DIMM_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "hotplug/qmp_client.h"
#include "hotplug/vm_size.h"

namespace podvisor {

// A DIMM of this size that is there is OK. What QEMU refuses leaves no backend.
// Errors: see QmpClient; InvalidArgument when QEMU refuses it.
absl::Status AddDimm(QmpClient& qmp, const Dimm& dimm, absl::Time deadline);

// Waits until guest and QEMU have let go of it and gives the host's memory
// back. An empty slot is OK. Errors: see RemoveDevice().
absl::Status RemoveDimm(QmpClient& qmp, Clock& clock, int slot,
                        absl::Time deadline);

// Gives back the host's memory of DIMMs that are gone, after a daemon that was
// killed in the middle of RemoveDimm().
absl::Status RemoveUnusedDimmBackends(QmpClient& qmp,
                                      const std::vector<Dimm>& dimms,
                                      absl::Time deadline);

}  // namespace podvisor

#endif  // PODVISOR_HOTPLUG_DIMM_H_
