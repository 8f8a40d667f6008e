#include "hotplug/observed_state.h"

#include <algorithm>

namespace podvisor {

VmState ObservedState(const std::vector<VcpuSlot>& slots,
                      const HotplugMemory& memory, const GuestSize& guest) {
  VmState state;
  for (const VcpuSlot& slot : slots) {
    if (!slot.plugged) continue;
    ++state.vcpus_plugged;
    if (!slot.device_id.empty()) ++state.vcpus_removable;
  }
  // A guest can claim what it likes, but not more than it was given.
  state.vcpus_online = std::clamp(guest.cpus_online, 0, state.vcpus_plugged);
  state.hotplug_requested_bytes = memory.requested_bytes;
  state.hotplug_plugged_bytes = memory.plugged_bytes;
  state.dimms = memory.dimms;
  state.hotplug_online_bytes = std::clamp<int64_t>(
      guest.memory_total_bytes - guest.memory_total_at_boot_bytes, 0,
      state.hotplug_plugged_bytes);
  state.guest_boot_bytes = guest.memory_total_at_boot_bytes;
  state.guest_available_bytes = guest.memory_available_bytes;
  state.guest_free_bytes = guest.memory_free_bytes;
  state.guest_block_bytes = guest.memory_block_bytes;
  return state;
}

}  // namespace podvisor
