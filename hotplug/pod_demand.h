// What the containers of a pod ask for and the VM size that follows: the
// arithmetic of SPECIFICATION.md, "Size". Pure: no I/O, no clock, no locks.

#ifndef PODVISOR_HOTPLUG_POD_DEMAND_H_
#define PODVISOR_HOTPLUG_POD_DEMAND_H_

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "hotplug/container_resources.h"
#include "hotplug/vm_limits.h"
#include "hotplug/vm_size.h"

namespace podvisor {

// Milli-CPU, never floating point: 0.1 CPU added ten times is one CPU.
struct PodDemand {
  int64_t milli_cpu = 0;
  int64_t memory_bytes = 0;

  bool operator==(const PodDemand&) const = default;
};

// What one container asks for; or a pod, from its pod-level resources.
//
//   CPU     quota / period (a period of 0 means 100000), else shares / 1024,
//           else 0. Rounded up to a whole milli-CPU: the kubelet rounds down
//           when it makes quotas and shares, so this gives back its figure.
//   memory  the limit, else unified["memory.max"], else unified["memory.min"],
//           else 0; plus all hugepage limits.
//
// InvalidArgument, naming the field, for values that are negative (but a quota
// of -1, "no limit"), not numbers, or too large to compute with.
absl::StatusOr<PodDemand> DemandOf(const ContainerResources& resources);

// The memory limit alone, without hugepages; 0 for none. Errors as above.
absl::StatusOr<int64_t> MemoryLimitOf(const ContainerResources& resources);

// What asks for the more of each, CPU and memory, of `before` and `after`; all
// else is as in `after`. Both are such as DemandOf() takes.
ContainerResources RoomForEither(const ContainerResources& before,
                                 const ContainerResources& after);

// What the resources of a whole pod say about its VM: the most that it gets, or
// also the least.
enum class PodTotalUse { kCap, kCapAndFloor };

// With presize a pod has what it asks for from the start and as long as any of
// its containers counts. Once all that there were have ended, nobody needs it:
// `had_containers` is whether there was ever one.
PodTotalUse UseOfPodTotal(bool presize, bool had_containers, bool any_counts);

// The sum over the containers that count (created or running); with a floor at
// least what `pod_total` asks for by DemandOf(); capped by the limits of
// `pod_total` where it has any. Only limits cap: a request (cpu_shares,
// memory.min) of the pod is what it needs, not what it may have.
//
// InvalidArgument as above, or where the sum does not fit into 63 bits.
absl::StatusOr<PodDemand> DemandOfPod(
    absl::Span<const ContainerResources> containers,
    const std::optional<ContainerResources>& pod_total,
    PodTotalUse use = PodTotalUse::kCap);

// kShared: the base is only held by a placeholder and containers may use it.
// kAdditive: the containers get theirs on top of the base.
enum class Sizing { kShared, kAdditive };

// Measured: docs/adr/0011.
inline constexpr int64_t kDefaultGuestOverheadMib = 144;

struct SizingRules {
  Sizing sizing = Sizing::kShared;
  int64_t base_milli_cpu = 1000;
  int64_t base_memory_bytes = 0;
  // Added to what containers ask for in kShared, so that a container reaches
  // its own limit before the guest runs out: what kernel and agent need in a
  // guest of any size. With it comes what the kernel needs to manage the
  // memory that is asked for, 3/128 of it. 0: neither.
  int64_t guest_overhead_memory_bytes = 0;

  bool operator==(const SizingRules&) const = default;
};

// A size that the VM can have, and what was wanted before the limits cut it.
struct VmTarget {
  VmSize size;
  bool vcpus_clamped = false;
  bool memory_clamped = false;
  int64_t wanted_vcpus = 0;
  int64_t wanted_milli_cpu = 0;     // the same, not rounded up
  int64_t wanted_memory_bytes = 0;  // not yet rounded to the block
  // What the containers ask for together above the limits of their pod, which
  // is in none of the figures above: 0 for none.
  PodDemand cut_by_pod;

  bool operator==(const VmTarget&) const = default;
};

// The size for a demand: never below the boot size, never above the maximum,
// memory rounded up to the block. A cut by the maximum is reported as clamped.
//
// InvalidArgument for negative values, sums beyond 63 bits and impossible
// limits, naming the field.
absl::StatusOr<VmTarget> TargetFor(const PodDemand& demand,
                                   const SizingRules& rules,
                                   const VmLimits& limits);

}  // namespace podvisor

#endif  // PODVISOR_HOTPLUG_POD_DEMAND_H_
