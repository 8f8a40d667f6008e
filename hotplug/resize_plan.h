#ifndef PODVISOR_HOTPLUG_RESIZE_PLAN_H_
#define PODVISOR_HOTPLUG_RESIZE_PLAN_H_

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "hotplug/vm_limits.h"
#include "hotplug/vm_size.h"

namespace podvisor {

// Steps name the state to reach, not the difference, so that doing one again
// does no harm. Memory is the hot-plugged part, without the boot memory.

// Ask the memory device for this size; the guest follows on its own.
struct RequestMemory {
  int64_t hotplug_bytes = 0;
  bool operator==(const RequestMemory&) const = default;
};
// Add this DIMM, unless it is there.
struct PlugDimm {
  Dimm dimm;
  bool operator==(const PlugDimm&) const = default;
};
// Remove the DIMM in this slot, if there is one.
struct UnplugDimm {
  int slot = 0;
  bool operator==(const UnplugDimm&) const = default;
};
// Add vCPU devices until QEMU has this many vCPUs.
struct PlugVcpus {
  int vcpus = 0;
  bool operator==(const PlugVcpus&) const = default;
};
// Let the guest bring vCPUs online, parked ones included, until it uses this
// many, and confirm it.
struct OnlineVcpus {
  int vcpus = 0;
  bool operator==(const OnlineVcpus&) const = default;
};
// Wait until the guest has at least this much hot-plugged memory.
struct AwaitMemoryGrown {
  int64_t hotplug_bytes = 0;
  bool operator==(const AwaitMemoryGrown&) const = default;
};
// Let the guest take vCPUs offline until it uses this many.
struct OfflineVcpus {
  int vcpus = 0;
  bool operator==(const OfflineVcpus&) const = default;
};
// Remove vCPU devices, the last added first, until QEMU has this many vCPUs.
struct UnplugVcpus {
  int vcpus = 0;
  bool operator==(const UnplugVcpus&) const = default;
};
// Let the guest drop page cache until so much of its memory is free, or as
// much as it can.
struct ReclaimMemory {
  int64_t free_bytes = 0;
  bool operator==(const ReclaimMemory&) const = default;
};
// Wait until the guest has given back all hot-plugged memory but this.
struct AwaitMemoryShrunk {
  int64_t hotplug_bytes = 0;
  bool operator==(const AwaitMemoryShrunk&) const = default;
};

using ResizeStep = std::variant<RequestMemory, PlugDimm, PlugVcpus, OnlineVcpus,
                                AwaitMemoryGrown, OfflineVcpus, ReclaimMemory,
                                UnplugDimm, UnplugVcpus, AwaitMemoryShrunk>;

struct ResizePlan {
  std::vector<ResizeStep> steps;

  bool empty() const { return steps.empty(); }
  bool operator==(const ResizePlan&) const = default;
};

// What has to be free in the guest beyond what it gives back, and what a shrink
// leaves it. With less, the kernel moves pages into memory that it first has to
// find, and a guest that has no more ends programs (ADR 11).
inline constexpr int64_t kRoomToMoveBytes = int64_t{64} << 20;

// Decides how to bring a VM from `state` to `target`.
//
// Pure: same inputs, same plan. Growing comes first, and all of it is asked
// for before any of it is awaited, so that memory and vCPUs arrive at the same
// time; only DIMMs beyond what the guest can carry wait for those before them.
// Shrinking follows: vCPUs offline, their devices removed where
// `limits.vcpu_unplug` says so, and virtio-mem last, the slow part that a guest
// may refuse. A guest is asked for no more than it can do without; the rest
// stays a shortfall, see MemoryShortfall(), until it has more available. Before
// memory goes, a guest with less free than it gives back and room to move drops
// page cache. Nothing that changes the memory map follows the removal of a vCPU
// within one plan (it kills QEMU before 10.2 under TCG).
//
// DIMMs come and go whole: the VM may keep more than the target, see
// SpareDimms(), and has then reached it.
//
// A plan stopped after any step leaves a state from which a new plan reaches
// the target. A VM that is at its target, or as near as its guest can spare,
// gets an empty plan.
//
// Errors:
//   InvalidArgument    limits or a state that contradict themselves, a target
//                      below the boot size or off the block.
//   ResourceExhausted  a target above the maximum, or beyond what slots and
//                      guest can take as DIMMs; never cut silently.
absl::StatusOr<ResizePlan> PlanResize(const VmLimits& limits,
                                      const VmState& state,
                                      const VmSize& target);

// The size that a grow to `target` asks for: what the VM has above it stays, as
// it is another decision to give that back.
VmSize AtLeast(const VmLimits& limits, const VmState& state,
               const VmSize& target);

// The growing half of it: from `state` to at least `target`. Nothing is given
// back and no shrink is waited for; one that is still under way is stopped
// where it would take what the target needs. Errors: those of PlanResize().
absl::StatusOr<ResizePlan> PlanGrow(const VmLimits& limits,
                                    const VmState& state, const VmSize& target);

// What of the hot-plugged memory a shrink to `target` has still to give back.
int64_t MemoryShortfall(const VmLimits& limits, const VmState& state,
                        const VmSize& target);

// For logs and dry runs: "plug vCPUs to 4".
std::string DescribeStep(const ResizeStep& step);

}  // namespace podvisor

#endif  // PODVISOR_HOTPLUG_RESIZE_PLAN_H_
