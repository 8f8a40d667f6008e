#ifndef PODVISOR_HOTPLUG_OBSERVED_STATE_H_
#define PODVISOR_HOTPLUG_OBSERVED_STATE_H_

#include <cstdint>
#include <vector>

#include "guestagent/client/guest_resources.h"
#include "hotplug/qemu_inventory.h"
#include "hotplug/vm_size.h"

namespace podvisor {

// What QEMU has plugged, by whatever device.
struct HotplugMemory {
  int64_t requested_bytes = 0;
  int64_t plugged_bytes = 0;
  std::vector<Dimm> dimms;
};

// What a VM has, from what QEMU and its guest say. A guest that claims more
// than it was given has what it was given. Pure.
VmState ObservedState(const std::vector<VcpuSlot>& slots,
                      const HotplugMemory& memory, const GuestSize& guest);

}  // namespace podvisor

#endif  // PODVISOR_HOTPLUG_OBSERVED_STATE_H_
