#include "sandbox/size/accounting_guard.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/format_bytes.h"
#include "base/status_macros.h"
#include "hotplug/pod_demand.h"

namespace podvisor {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

// QEMU's heap and stacks with all devices, and virtiofsd with its threads.
constexpr int64_t kFixedBytes = 32 * kMiB;
// A vCPU's thread; under TCG its soft TLB as well.
constexpr int64_t kBytesOfVcpu = 4 * kMiB;
// The kernel's page tables and page cache nodes: 8 MiB for a GiB of guest.
constexpr int64_t kGuestBytesPerKernelByte = 128;
// Where TCG keeps what it has translated, 1 GiB by QEMU's default (region.c),
// filled by any guest that runs new code for long enough, and its indexes.
constexpr int64_t kTranslations = (1024 + 128) * kMiB;

absl::StatusOr<int64_t> LimitOf(
    const std::optional<ContainerResources>& resources) {
  if (!resources.has_value()) return 0;
  return MemoryLimitOf(*resources);
}

}  // namespace

int64_t VmmCostBytes(const VmSize& size, Accelerator accelerator) {
  return kFixedBytes + size.vcpus * kBytesOfVcpu +
         size.memory_bytes / kGuestBytesPerKernelByte +
         (accelerator == Accelerator::kTcg ? kTranslations : 0);
}

VmSize UsableSize(const VmLimits& limits, const VmState& observed,
                  const VmSize& target) {
  const int64_t hotplug = std::max(observed.hotplug_requested_bytes,
                                   observed.hotplug_plugged_bytes);
  return {.vcpus = std::max(target.vcpus, observed.vcpus_plugged),
          .memory_bytes = std::max(target.memory_bytes,
                                   limits.boot_memory_bytes + hotplug)};
}

absl::StatusOr<PodAccount> AccountFor(
    const std::optional<ContainerResources>& limits,
    const std::optional<ContainerResources>& overhead, const VmSize& size,
    Accelerator accelerator) {
  PodAccount account;
  account.guest_bytes = size.memory_bytes;
  account.vmm_bytes = VmmCostBytes(size, accelerator);
  ASSIGN_OR_RETURN(account.limit_bytes, LimitOf(limits));
  ASSIGN_OR_RETURN(account.overhead_bytes, LimitOf(overhead));
  return account;
}

absl::Status CheckAccount(const PodAccount& account,
                          const PodAccount& accepted) {
  const int64_t excess = account.excess_bytes();
  if (excess <= accepted.excess_bytes()) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      "the VM can use ", FormatBytes(account.guest_bytes + account.vmm_bytes),
      " of the host (guest ", FormatBytes(account.guest_bytes), ", VMM ",
      FormatBytes(account.vmm_bytes), "), the pod has ",
      FormatBytes(account.limit_bytes + account.overhead_bytes),
      " (memory limit ", FormatBytes(account.limit_bytes), ", overhead ",
      FormatBytes(account.overhead_bytes),
      "); raise the RuntimeClass's overhead.podFixed by ",
      (excess + kMiB - 1) / kMiB,
      "Mi or lower guest_overhead_memory or default_memory"));
}

}  // namespace podvisor
