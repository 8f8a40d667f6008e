#ifndef PODVISOR_HOTPLUG_VM_SIZE_H_
#define PODVISOR_HOTPLUG_VM_SIZE_H_

#include <cstdint>
#include <vector>

namespace podvisor {

// How large a VM should be: all vCPUs that run and all of its RAM, what it
// booted with included.
struct VmSize {
  int vcpus = 0;
  int64_t memory_bytes = 0;

  bool operator==(const VmSize&) const = default;
};

// A hot-plugged pc-dimm.
struct Dimm {
  int slot = 0;
  int64_t bytes = 0;

  bool operator==(const Dimm&) const = default;
};

// What a VM has, as last observed at QEMU and at the guest; never what was
// last asked for, but for the one field that says so.
struct VmState {
  // vCPUs that QEMU has, parked ones included, and how many of them are
  // devices that can be removed again. The others are there since boot.
  int vcpus_plugged = 0;
  int vcpus_removable = 0;
  // What the guest's scheduler uses.
  int vcpus_online = 0;

  // Hot-plugged memory, on top of the boot memory: what was last asked of the
  // device, what the guest has taken, and what is in the guest's MemTotal.
  int64_t hotplug_requested_bytes = 0;
  int64_t hotplug_plugged_bytes = 0;
  int64_t hotplug_online_bytes = 0;
  // Where it consists of DIMMs: each of them, by slot. Nothing is asked of
  // those, they are there or not.
  std::vector<Dimm> dimms = {};

  // What the guest's MemTotal was before anything was plugged.
  int64_t guest_boot_bytes = 0;
  // What the guest could give to new programs, how much of it is not even
  // cache, and the unit in which its kernel plugs memory; 0 when it does not
  // say.
  int64_t guest_available_bytes = 0;
  int64_t guest_free_bytes = 0;
  int64_t guest_block_bytes = 0;

  bool operator==(const VmState&) const = default;
};

}  // namespace podvisor

#endif  // PODVISOR_HOTPLUG_VM_SIZE_H_
