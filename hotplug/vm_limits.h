#ifndef PODVISOR_HOTPLUG_VM_LIMITS_H_
#define PODVISOR_HOTPLUG_VM_LIMITS_H_

#include <cstdint>

#include "absl/status/status.h"

namespace podvisor {

// The device that carries hot-plugged memory. kNone: memory stays as booted.
enum class MemoryDevice { kNone, kVirtioMem, kPcDimm };

// What becomes of a vCPU that the guest no longer uses: its device is removed,
// or it stays plugged and offline ("parked"), which costs nothing.
enum class VcpuUnplug { kDevice, kPark };

// What QEMU can do: memory at boot and at most are multiples of this unit, and
// above so many vCPUs the guest would need an IOMMU (x2APIC).
inline constexpr int64_t kMemoryUnitBytes = int64_t{2} << 20;
inline constexpr int kMostVcpus = 240;

constexpr int64_t RoundUpToMemoryUnit(int64_t bytes) {
  return (bytes + kMemoryUnitBytes - 1) / kMemoryUnitBytes * kMemoryUnitBytes;
}

// Fixed when a VM boots; hot plug never leaves these bounds. The smallest size
// is the boot size. VMs without CPU hot plug have max_vcpus == boot_vcpus.
struct VmLimits {
  int boot_vcpus = 1;
  int max_vcpus = 1;
  int64_t boot_memory_bytes = 0;
  int64_t max_memory_bytes = 0;  // boot memory included
  // Hot-plugged memory is always a multiple of it: what device and guest can
  // both plug. A multiple of 2 MiB; Linux on x86-64 plugs virtio-mem in 4 MiB.
  int64_t memory_block_bytes = 128LL << 20;
  int memory_slots = 0;      // pc-dimm: how many there can be at a time
  bool dimm_unplug = false;  // pc-dimm: whether they are removed again
  MemoryDevice memory_device = MemoryDevice::kVirtioMem;
  VcpuUnplug vcpu_unplug = VcpuUnplug::kPark;

  bool operator==(const VmLimits&) const = default;
};

// InvalidArgument, naming the field, for limits that contradict each other.
absl::Status CheckVmLimits(const VmLimits& limits);

// The most memory that can be hot-plugged: a multiple of the block.
int64_t MaxHotplugBytes(const VmLimits& limits);

}  // namespace podvisor

#endif  // PODVISOR_HOTPLUG_VM_LIMITS_H_
