#include "hotplug/pod_demand.h"

#include <algorithm>
#include <limits>
#include <string>

#include "absl/numeric/int128.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/clean_text.h"
#include "base/status_macros.h"

namespace podvisor {
namespace {

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
constexpr int64_t kDefaultCpuPeriod = 100'000;  // microseconds, as the kernel
constexpr int64_t kSharesPerCpu = 1024;
// The kubelet's value for "no CPU request", and the kernel's smallest.
constexpr int64_t kNoShares = 2;

absl::Status TooLarge(absl::string_view field) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": too large"));
}

absl::Status CheckNotNegative(absl::string_view field, int64_t value) {
  if (value >= 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, ": ", value, " is negative"));
}

// a + b; both are not negative.
absl::StatusOr<int64_t> Add(absl::string_view field, int64_t a, int64_t b) {
  if (a > kMax - b) return TooLarge(field);
  return a + b;
}

// a * 1000 / b, rounded up; a is not negative, b positive.
absl::StatusOr<int64_t> MilliRatio(absl::string_view field, int64_t a,
                                   int64_t b) {
  const absl::int128 milli =
      (absl::int128(a) * 1000 + absl::int128(b) - 1) / absl::int128(b);
  if (milli > absl::int128(kMax)) return TooLarge(field);
  return static_cast<int64_t>(milli);
}

int64_t CeilDiv(int64_t value, int64_t unit) {
  return value / unit + (value % unit != 0 ? 1 : 0);
}

struct CpuDemand {
  int64_t limit_milli = 0;    // 0: no limit
  int64_t request_milli = 0;  // 0: no request
};

absl::StatusOr<CpuDemand> CpuDemandOf(const ContainerResources& resources) {
  RETURN_IF_ERROR(CheckNotNegative("cpu_period", resources.cpu_period));
  RETURN_IF_ERROR(CheckNotNegative("cpu_shares", resources.cpu_shares));
  if (resources.cpu_quota < -1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "cpu_quota: ", resources.cpu_quota, " is negative and not -1"));
  }
  CpuDemand demand;
  if (resources.cpu_quota > 0) {
    const int64_t period =
        resources.cpu_period == 0 ? kDefaultCpuPeriod : resources.cpu_period;
    ASSIGN_OR_RETURN(demand.limit_milli,
                     MilliRatio("cpu_quota", resources.cpu_quota, period));
  }
  if (resources.cpu_shares > kNoShares) {
    ASSIGN_OR_RETURN(
        demand.request_milli,
        MilliRatio("cpu_shares", resources.cpu_shares, kSharesPerCpu));
  }
  return demand;
}

// The value of a cgroup v2 memory file, 0 when it is not given or "max".
absl::StatusOr<int64_t> UnifiedBytes(const ContainerResources& resources,
                                     const std::string& file) {
  const auto entry = resources.unified.find(file);
  if (entry == resources.unified.end()) return 0;
  if (entry->second.empty() || entry->second == "max") return 0;
  const std::string field = absl::StrCat("unified[\"", file, "\"]");
  int64_t bytes = 0;
  if (!absl::SimpleAtoi(entry->second, &bytes)) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": \"", CleanText(entry->second, 64),
                     "\" is neither \"max\" nor a number of bytes"));
  }
  RETURN_IF_ERROR(CheckNotNegative(field, bytes));
  return bytes;
}

struct MemoryDemand {
  int64_t limit_bytes = 0;    // 0: no limit
  int64_t request_bytes = 0;  // 0: no request
  int64_t hugepage_bytes = 0;
};

absl::StatusOr<MemoryDemand> MemoryDemandOf(
    const ContainerResources& resources) {
  RETURN_IF_ERROR(
      CheckNotNegative("memory_limit_in_bytes", resources.memory_limit_bytes));
  MemoryDemand demand;
  ASSIGN_OR_RETURN(const int64_t unified_max,
                   UnifiedBytes(resources, "memory.max"));
  ASSIGN_OR_RETURN(demand.request_bytes, UnifiedBytes(resources, "memory.min"));
  demand.limit_bytes = resources.memory_limit_bytes > 0
                           ? resources.memory_limit_bytes
                           : unified_max;
  for (const auto& [page_size, limit] : resources.hugepage_limits) {
    const std::string field =
        absl::StrCat("hugepage_limits[", CleanText(page_size, 64), "]");
    RETURN_IF_ERROR(CheckNotNegative(field, limit));
    ASSIGN_OR_RETURN(demand.hugepage_bytes,
                     Add(field, demand.hugepage_bytes, limit));
  }
  return demand;
}

int64_t Cap(int64_t sum, int64_t cap) {
  return cap > 0 ? std::min(sum, cap) : sum;
}

// Raises `sum` to what `pod_total` asks for where that is a floor, and cuts it
// to the limits, not to the requests, of `pod_total`.
absl::StatusOr<PodDemand> BoundByPodTotal(PodDemand sum,
                                          const ContainerResources& pod_total,
                                          PodTotalUse use) {
  if (use == PodTotalUse::kCapAndFloor) {
    ASSIGN_OR_RETURN(const PodDemand floor, DemandOf(pod_total));
    sum.milli_cpu = std::max(sum.milli_cpu, floor.milli_cpu);
    sum.memory_bytes = std::max(sum.memory_bytes, floor.memory_bytes);
  }
  ASSIGN_OR_RETURN(const CpuDemand cpu, CpuDemandOf(pod_total));
  ASSIGN_OR_RETURN(const MemoryDemand memory, MemoryDemandOf(pod_total));
  sum.milli_cpu = Cap(sum.milli_cpu, cpu.limit_milli);
  if (memory.limit_bytes > 0) {
    ASSIGN_OR_RETURN(const int64_t cap,
                     Add("memory_limit_in_bytes", memory.limit_bytes,
                         memory.hugepage_bytes));
    sum.memory_bytes = Cap(sum.memory_bytes, cap);
  }
  return sum;
}

absl::Status CheckSizing(const PodDemand& demand, const SizingRules& rules) {
  RETURN_IF_ERROR(CheckNotNegative("demand.milli_cpu", demand.milli_cpu));
  RETURN_IF_ERROR(CheckNotNegative("demand.memory_bytes", demand.memory_bytes));
  RETURN_IF_ERROR(CheckNotNegative("base_milli_cpu", rules.base_milli_cpu));
  RETURN_IF_ERROR(
      CheckNotNegative("base_memory_bytes", rules.base_memory_bytes));
  return CheckNotNegative("guest_overhead_memory",
                          rules.guest_overhead_memory_bytes);
}

// What the guest needs beside what its containers ask for. Of memory, Linux
// takes 64 bytes for each page of 4096 as its descriptor, and keeps 1/256 back
// in each of the zones DMA and DMA32 (vm.lowmem_reserve_ratio): 1/64 + 2/256.
absl::StatusOr<int64_t> GuestOverhead(int64_t asked_bytes,
                                      const SizingRules& rules) {
  if (rules.guest_overhead_memory_bytes == 0) return 0;
  return Add("guest_overhead_memory", rules.guest_overhead_memory_bytes,
             asked_bytes / 128 * 3);
}

struct WantedSize {
  int64_t milli_cpu = 0;
  int64_t memory_bytes = 0;
};

absl::StatusOr<WantedSize> Want(const PodDemand& demand,
                                const SizingRules& rules) {
  WantedSize wanted;
  switch (rules.sizing) {
    case Sizing::kShared: {
      wanted.milli_cpu = std::max(rules.base_milli_cpu, demand.milli_cpu);
      ASSIGN_OR_RETURN(const int64_t overhead,
                       GuestOverhead(demand.memory_bytes, rules));
      ASSIGN_OR_RETURN(
          const int64_t with_overhead,
          Add("guest_overhead_memory", demand.memory_bytes, overhead));
      wanted.memory_bytes = std::max(rules.base_memory_bytes, with_overhead);
      break;
    }
    case Sizing::kAdditive: {
      ASSIGN_OR_RETURN(
          wanted.milli_cpu,
          Add("base_milli_cpu", rules.base_milli_cpu, demand.milli_cpu));
      ASSIGN_OR_RETURN(wanted.memory_bytes,
                       Add("base_memory_bytes", rules.base_memory_bytes,
                           demand.memory_bytes));
      break;
    }
  }
  return wanted;
}

}  // namespace

absl::StatusOr<PodDemand> DemandOf(const ContainerResources& resources) {
  ASSIGN_OR_RETURN(const CpuDemand cpu, CpuDemandOf(resources));
  ASSIGN_OR_RETURN(const MemoryDemand memory, MemoryDemandOf(resources));
  PodDemand demand;
  demand.milli_cpu = cpu.limit_milli > 0 ? cpu.limit_milli : cpu.request_milli;
  ASSIGN_OR_RETURN(
      demand.memory_bytes,
      Add("memory_limit_in_bytes",
          memory.limit_bytes > 0 ? memory.limit_bytes : memory.request_bytes,
          memory.hugepage_bytes));
  return demand;
}

absl::StatusOr<int64_t> MemoryLimitOf(const ContainerResources& resources) {
  ASSIGN_OR_RETURN(const MemoryDemand memory, MemoryDemandOf(resources));
  return memory.limit_bytes;
}

ContainerResources RoomForEither(const ContainerResources& before,
                                 const ContainerResources& after) {
  ContainerResources room = after;
  const absl::StatusOr<PodDemand> had = DemandOf(before);
  const absl::StatusOr<PodDemand> wanted = DemandOf(after);
  if (!had.ok() || !wanted.ok()) return room;
  if (had->milli_cpu > wanted->milli_cpu) {
    room.cpu_period = before.cpu_period;
    room.cpu_quota = before.cpu_quota;
    room.cpu_shares = before.cpu_shares;
  }
  if (had->memory_bytes > wanted->memory_bytes) {
    room.memory_limit_bytes = before.memory_limit_bytes;
    room.hugepage_limits = before.hugepage_limits;
    room.unified = before.unified;
  }
  return room;
}

PodTotalUse UseOfPodTotal(bool presize, bool had_containers, bool any_counts) {
  return presize && (any_counts || !had_containers) ? PodTotalUse::kCapAndFloor
                                                    : PodTotalUse::kCap;
}

absl::StatusOr<PodDemand> DemandOfPod(
    absl::Span<const ContainerResources> containers,
    const std::optional<ContainerResources>& pod_total, PodTotalUse use) {
  PodDemand sum;
  for (const ContainerResources& container : containers) {
    ASSIGN_OR_RETURN(const PodDemand demand, DemandOf(container));
    ASSIGN_OR_RETURN(sum.milli_cpu, Add("cpu_quota of all containers",
                                        sum.milli_cpu, demand.milli_cpu));
    ASSIGN_OR_RETURN(sum.memory_bytes,
                     Add("memory_limit_in_bytes of all containers",
                         sum.memory_bytes, demand.memory_bytes));
  }
  if (!pod_total.has_value()) return sum;
  absl::StatusOr<PodDemand> bounded = BoundByPodTotal(sum, *pod_total, use);
  if (!bounded.ok()) return Annotate(bounded.status(), "pod resources");
  return bounded;
}

absl::StatusOr<VmTarget> TargetFor(const PodDemand& demand,
                                   const SizingRules& rules,
                                   const VmLimits& limits) {
  RETURN_IF_ERROR(CheckVmLimits(limits));
  RETURN_IF_ERROR(CheckSizing(demand, rules));
  ASSIGN_OR_RETURN(const WantedSize wanted, Want(demand, rules));

  VmTarget target;
  target.wanted_milli_cpu = wanted.milli_cpu;
  target.wanted_vcpus = CeilDiv(wanted.milli_cpu, 1000);
  target.wanted_memory_bytes = wanted.memory_bytes;
  target.vcpus_clamped = target.wanted_vcpus > limits.max_vcpus;
  target.size.vcpus = static_cast<int>(std::clamp<int64_t>(
      target.wanted_vcpus, limits.boot_vcpus, limits.max_vcpus));

  const int64_t above_boot =
      std::max<int64_t>(0, wanted.memory_bytes - limits.boot_memory_bytes);
  const int64_t blocks = CeilDiv(above_boot, limits.memory_block_bytes);
  const int64_t most_blocks =
      MaxHotplugBytes(limits) / limits.memory_block_bytes;
  // Rounding up into the maximum's odd end is a cut only where it takes away
  // something that was wanted.
  target.memory_clamped = above_boot > most_blocks * limits.memory_block_bytes;
  target.size.memory_bytes =
      limits.boot_memory_bytes +
      std::min(blocks, most_blocks) * limits.memory_block_bytes;
  return target;
}

}  // namespace podvisor
