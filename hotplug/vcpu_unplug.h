#ifndef PODVISOR_HOTPLUG_VCPU_UNPLUG_H_
#define PODVISOR_HOTPLUG_VCPU_UNPLUG_H_

#include "hotplug/qemu_version.h"
#include "hotplug/vm_limits.h"

namespace podvisor {

// The configuration key `vcpu_unplug`.
enum class VcpuUnplugSetting { kAuto, kDevice, kPark };

// Whether a QEMU lives on after a vCPU was removed. Before 10.2, under TCG, the
// first plug after it (a DIMM, a PCI device, another vCPU) aborts QEMU, because
// the removed one's address spaces were never torn down (qemu-devel, "physmem:
// Destroy all CPU AddressSpaces on unrealize", September 2025).
// vm_resizer_vm_test.cc was seen to die of it on 7.2.
constexpr bool BearsVcpuRemoval(const QemuVersion& version, bool tcg) {
  return !tcg || !(version < QemuVersion{10, 2, 0});
}

// kAuto parks where removal kills. kDevice is for a QEMU that bears it.
constexpr VcpuUnplug ChooseVcpuUnplug(VcpuUnplugSetting setting,
                                      const QemuVersion& version, bool tcg) {
  switch (setting) {
    case VcpuUnplugSetting::kDevice:
      return VcpuUnplug::kDevice;
    case VcpuUnplugSetting::kPark:
      return VcpuUnplug::kPark;
    case VcpuUnplugSetting::kAuto:
      break;
  }
  return BearsVcpuRemoval(version, tcg) ? VcpuUnplug::kDevice
                                        : VcpuUnplug::kPark;
}

static_assert(ChooseVcpuUnplug(VcpuUnplugSetting::kAuto, {7, 2, 22}, true) ==
              VcpuUnplug::kPark);
static_assert(ChooseVcpuUnplug(VcpuUnplugSetting::kAuto, {7, 2, 22}, false) ==
              VcpuUnplug::kDevice);
static_assert(ChooseVcpuUnplug(VcpuUnplugSetting::kAuto, {10, 2, 0}, true) ==
              VcpuUnplug::kDevice);
static_assert(ChooseVcpuUnplug(VcpuUnplugSetting::kDevice, {7, 2, 22}, false) ==
              VcpuUnplug::kDevice);
static_assert(ChooseVcpuUnplug(VcpuUnplugSetting::kPark, {11, 0, 0}, false) ==
              VcpuUnplug::kPark);

}  // namespace podvisor

#endif  // PODVISOR_HOTPLUG_VCPU_UNPLUG_H_
