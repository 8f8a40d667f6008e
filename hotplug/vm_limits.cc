#include "hotplug/vm_limits.h"

#include "absl/strings/str_cat.h"

namespace podvisor {
namespace {

// The granularity of virtio-mem over 4 KiB pages, and a whole number of pages
// of every backend that Podvisor uses.
constexpr int64_t kSmallestBlockBytes = 2LL << 20;

}  // namespace

absl::Status CheckVmLimits(const VmLimits& limits) {
  if (limits.boot_vcpus < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("boot_vcpus: ", limits.boot_vcpus, " is below 1"));
  }
  if (limits.max_vcpus < limits.boot_vcpus) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_vcpus: ", limits.max_vcpus, " is below boot_vcpus ",
                     limits.boot_vcpus));
  }
  if (limits.boot_memory_bytes <= 0) {
    return absl::InvalidArgumentError("boot_memory_bytes: must be positive");
  }
  if (limits.max_memory_bytes < limits.boot_memory_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_memory_bytes: ", limits.max_memory_bytes,
                     " is below boot_memory_bytes ", limits.boot_memory_bytes));
  }
  if (limits.memory_block_bytes <= 0 ||
      limits.memory_block_bytes % kSmallestBlockBytes != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("memory_block_bytes: ", limits.memory_block_bytes,
                     " is not a positive multiple of 2 MiB"));
  }
  if (limits.memory_slots < 0) {
    return absl::InvalidArgumentError("memory_slots: is negative");
  }
  return absl::OkStatus();
}

int64_t MaxHotplugBytes(const VmLimits& limits) {
  if (limits.memory_device == MemoryDevice::kNone) return 0;
  const int64_t room = limits.max_memory_bytes - limits.boot_memory_bytes;
  return room - room % limits.memory_block_bytes;
}

}  // namespace podvisor
