#include "hotplug/resize_plan.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/format_bytes.h"
#include "base/status_macros.h"
#include "hotplug/dimm_plan.h"

namespace podvisor {
namespace {

absl::Status CheckState(const VmState& state) {
  if (state.vcpus_removable < 0 ||
      state.vcpus_plugged <= state.vcpus_removable) {
    return absl::InvalidArgumentError(absl::StrCat(
        "state: ", state.vcpus_removable, " of ", state.vcpus_plugged,
        " vCPUs removable, at least one must not be"));
  }
  if (state.vcpus_online < 0 || state.vcpus_online > state.vcpus_plugged) {
    return absl::InvalidArgumentError(
        absl::StrCat("state: ", state.vcpus_online, " vCPUs online of ",
                     state.vcpus_plugged));
  }
  if (state.hotplug_requested_bytes < 0 || state.hotplug_plugged_bytes < 0 ||
      state.hotplug_online_bytes < 0) {
    return absl::InvalidArgumentError("state: negative memory");
  }
  return absl::OkStatus();
}

absl::Status CheckTarget(const VmLimits& limits, const VmSize& target) {
  if (target.vcpus > limits.max_vcpus) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "vCPUs: ", target.vcpus, " wanted, at most ", limits.max_vcpus));
  }
  if (target.vcpus < limits.boot_vcpus) {
    return absl::InvalidArgumentError(absl::StrCat(
        "vCPUs: ", target.vcpus, " wanted, at least ", limits.boot_vcpus));
  }
  // Compared before they are subtracted: a target is any 64 bits.
  if (target.memory_bytes >
      limits.boot_memory_bytes + MaxHotplugBytes(limits)) {
    return absl::ResourceExhaustedError(
        absl::StrCat("memory: ", target.memory_bytes, " bytes wanted, at most ",
                     limits.boot_memory_bytes + MaxHotplugBytes(limits)));
  }
  if (target.memory_bytes < limits.boot_memory_bytes ||
      (target.memory_bytes - limits.boot_memory_bytes) %
              limits.memory_block_bytes !=
          0) {
    return absl::InvalidArgumentError(
        absl::StrCat("memory: ", target.memory_bytes,
                     " bytes is not the boot size ", limits.boot_memory_bytes,
                     " plus blocks of ", limits.memory_block_bytes));
  }
  return absl::OkStatus();
}

bool MemoryIsAt(const VmState& state, int64_t hotplug_bytes) {
  return state.hotplug_requested_bytes == hotplug_bytes &&
         state.hotplug_plugged_bytes == hotplug_bytes &&
         state.hotplug_online_bytes == hotplug_bytes;
}

int64_t TotalBytes(const std::vector<Dimm>& dimms) {
  int64_t bytes = 0;
  for (const Dimm& dimm : dimms) bytes += dimm.bytes;
  return bytes;
}

// Whether the guest must take memory, rather than give it back.
bool MemoryGrows(const VmState& state, int64_t hotplug_bytes) {
  return std::min(state.hotplug_plugged_bytes, state.hotplug_online_bytes) <
         hotplug_bytes;
}

// What the guest can do without and still live: more, and its kernel ends
// programs, or has no descriptors for the pages of the next grow. Memory that
// it has not brought online is no loss to it, and with the rest come the
// descriptors of that (64 bytes for 4096, Linux, struct page). One that is
// small from the start keeps a quarter of that.
int64_t GivableBytes(const VmState& state) {
  const int64_t room =
      state.guest_boot_bytes > 0
          ? std::min(kRoomToMoveBytes, state.guest_boot_bytes / 4)
          : kRoomToMoveBytes;
  const int64_t spare =
      std::max<int64_t>(0, state.guest_available_bytes - room);
  return std::max<int64_t>(
             0, state.hotplug_plugged_bytes - state.hotplug_online_bytes) +
         spare + spare / 63;
}

// The least that virtio-mem can be asked to shrink to, in whole blocks.
int64_t LeastHotplugBytes(const VmLimits& limits, const VmState& state) {
  const int64_t block = limits.memory_block_bytes;
  const int64_t kept =
      std::max<int64_t>(0, state.hotplug_plugged_bytes - GivableBytes(state));
  return (kept + block - 1) / block * block;
}

// The memory's part of a plan, by its place there.
struct MemorySteps {
  std::vector<ResizeStep> grow;    // before the vCPUs
  std::vector<ResizeStep> grown;   // after them
  std::vector<ResizeStep> unplug;  // changes the memory map
  std::vector<ResizeStep> shrink;  // does not
};

// What is in use of the memory that goes has to move into what stays. The
// kernel makes room for it on its own, but one page at a time while it moves
// them: to drop cache first is faster, and with DIMMs much (ADR 11).
std::vector<ResizeStep> MakeRoom(const VmState& state, int64_t given_back) {
  const int64_t needed = given_back + kRoomToMoveBytes;
  if (given_back <= 0 || state.guest_free_bytes >= needed) return {};
  return {ReclaimMemory{needed}};
}

MemorySteps PlanMemory(const VmLimits& limits, const VmState& state,
                       int64_t hotplug_bytes) {
  MemorySteps steps;
  if (MemoryIsAt(state, hotplug_bytes)) return steps;
  if (MemoryGrows(state, hotplug_bytes)) {
    steps.grow = {RequestMemory{hotplug_bytes}};
    steps.grown = {AwaitMemoryGrown{hotplug_bytes}};
    return steps;
  }
  const int64_t least =
      std::max(hotplug_bytes, LeastHotplugBytes(limits, state));
  if (least < state.hotplug_plugged_bytes || least == hotplug_bytes) {
    steps.shrink = MakeRoom(state, state.hotplug_plugged_bytes - least);
    steps.shrink.push_back(RequestMemory{least});
    steps.shrink.push_back(AwaitMemoryShrunk{least});
  } else if (state.hotplug_requested_bytes != least) {
    // An older request would take what the guest can no longer spare, or give
    // what nobody wants any more.
    steps.grow = {RequestMemory{least}};
  }
  return steps;
}

// Asks for no less than was asked for before: another grow may be under way.
MemorySteps PlanMemoryGrowth(const VmState& state, int64_t hotplug_bytes) {
  MemorySteps steps;
  if (state.hotplug_requested_bytes < hotplug_bytes ||
      MemoryGrows(state, hotplug_bytes)) {
    steps.grow = {
        RequestMemory{std::max(hotplug_bytes, state.hotplug_requested_bytes)}};
    steps.grown = {AwaitMemoryGrown{hotplug_bytes}};
  }
  return steps;
}

absl::StatusOr<MemorySteps> PlanDimms(const VmLimits& limits,
                                      const VmState& state,
                                      int64_t hotplug_bytes) {
  MemorySteps steps;
  int64_t plugged = state.hotplug_plugged_bytes;
  if (plugged < hotplug_bytes) {
    ASSIGN_OR_RETURN(const std::vector<Dimm> dimms,
                     ChooseDimms(limits, state, hotplug_bytes - plugged));
    const int64_t carried = CarriedBytes(limits, state);
    // Also what an earlier plan plugged: its descriptors are still to come.
    int64_t on_its_way =
        std::max<int64_t>(0, plugged - state.hotplug_online_bytes);
    for (const Dimm& dimm : dimms) {
      if (on_its_way + dimm.bytes > carried) {
        steps.grow.push_back(AwaitMemoryGrown{plugged});
        on_its_way = 0;
      }
      steps.grow.push_back(PlugDimm{dimm});
      on_its_way += dimm.bytes;
      plugged += dimm.bytes;
    }
  }
  if (MemoryGrows(state, hotplug_bytes)) {
    steps.grown = {AwaitMemoryGrown{hotplug_bytes}};
  }
  if (state.hotplug_plugged_bytes < hotplug_bytes) return steps;
  std::vector<Dimm> spare = SpareDimms(limits, state.dimms, hotplug_bytes);
  int64_t givable = GivableBytes(state);
  std::erase_if(spare, [&](const Dimm& dimm) {
    if (dimm.bytes > givable) return true;
    givable -= dimm.bytes;
    return false;
  });
  steps.unplug = MakeRoom(state, TotalBytes(spare));
  for (const Dimm& dimm : spare) {
    steps.unplug.push_back(UnplugDimm{dimm.slot});
  }
  return steps;
}

void Append(const std::vector<ResizeStep>& steps, ResizePlan& plan) {
  plan.steps.insert(plan.steps.end(), steps.begin(), steps.end());
}

void AppendGrowth(const MemorySteps& memory, const VmState& state,
                  const VmSize& target, ResizePlan& plan) {
  Append(memory.grow, plan);
  if (state.vcpus_plugged < target.vcpus) {
    plan.steps.push_back(PlugVcpus{target.vcpus});
  }
  if (state.vcpus_online < target.vcpus) {
    plan.steps.push_back(OnlineVcpus{target.vcpus});
  }
  Append(memory.grown, plan);
}

absl::Status Check(const VmLimits& limits, const VmState& state,
                   const VmSize& target) {
  RETURN_IF_ERROR(CheckVmLimits(limits));
  RETURN_IF_ERROR(CheckState(state));
  return CheckTarget(limits, target);
}

// How few vCPUs QEMU may be left with.
int PluggedFloor(const VmLimits& limits, const VmState& state,
                 const VmSize& target) {
  if (limits.vcpu_unplug == VcpuUnplug::kPark) return state.vcpus_plugged;
  return std::max(target.vcpus, state.vcpus_plugged - state.vcpus_removable);
}

struct Describe {
  std::string operator()(const RequestMemory& step) const {
    return absl::StrCat("request ", FormatBytes(step.hotplug_bytes),
                        " of hot-plugged memory");
  }
  std::string operator()(const PlugDimm& step) const {
    return absl::StrCat("plug a DIMM of ", FormatBytes(step.dimm.bytes),
                        " into slot ", step.dimm.slot);
  }
  std::string operator()(const UnplugDimm& step) const {
    return absl::StrCat("unplug the DIMM in slot ", step.slot);
  }
  std::string operator()(const PlugVcpus& step) const {
    return absl::StrCat("plug vCPUs to ", step.vcpus);
  }
  std::string operator()(const OnlineVcpus& step) const {
    return absl::StrCat("bring vCPUs online to ", step.vcpus);
  }
  std::string operator()(const AwaitMemoryGrown& step) const {
    return absl::StrCat("wait until the guest has ",
                        FormatBytes(step.hotplug_bytes),
                        " of hot-plugged memory");
  }
  std::string operator()(const OfflineVcpus& step) const {
    return absl::StrCat("take vCPUs offline to ", step.vcpus);
  }
  std::string operator()(const ReclaimMemory& step) const {
    return absl::StrCat("let the guest drop cache until ",
                        FormatBytes(step.free_bytes), " are free");
  }
  std::string operator()(const UnplugVcpus& step) const {
    return absl::StrCat("unplug vCPUs to ", step.vcpus);
  }
  std::string operator()(const AwaitMemoryShrunk& step) const {
    return absl::StrCat("wait until the guest has given back all but ",
                        FormatBytes(step.hotplug_bytes),
                        " of hot-plugged memory");
  }
};

}  // namespace

absl::StatusOr<ResizePlan> PlanResize(const VmLimits& limits,
                                      const VmState& state,
                                      const VmSize& target) {
  RETURN_IF_ERROR(Check(limits, state, target));
  const int64_t memory = target.memory_bytes - limits.boot_memory_bytes;
  MemorySteps steps;
  if (limits.memory_device == MemoryDevice::kPcDimm) {
    ASSIGN_OR_RETURN(steps, PlanDimms(limits, state, memory));
  } else {
    steps = PlanMemory(limits, state, memory);
  }

  ResizePlan plan;
  AppendGrowth(steps, state, target, plan);
  if (state.vcpus_online > target.vcpus) {
    plan.steps.push_back(OfflineVcpus{target.vcpus});
  }
  Append(steps.unplug, plan);
  const int floor = PluggedFloor(limits, state, target);
  if (state.vcpus_plugged > floor) plan.steps.push_back(UnplugVcpus{floor});
  Append(steps.shrink, plan);
  return plan;
}

absl::StatusOr<ResizePlan> PlanGrow(const VmLimits& limits,
                                    const VmState& state,
                                    const VmSize& target) {
  RETURN_IF_ERROR(Check(limits, state, target));
  const int64_t memory = target.memory_bytes - limits.boot_memory_bytes;
  MemorySteps steps;
  if (limits.memory_device == MemoryDevice::kPcDimm) {
    ASSIGN_OR_RETURN(steps, PlanDimms(limits, state, memory));
  } else {
    steps = PlanMemoryGrowth(state, memory);
  }
  ResizePlan plan;
  AppendGrowth(steps, state, target, plan);
  return plan;
}

VmSize AtLeast(const VmLimits& limits, const VmState& state,
               const VmSize& target) {
  return {.vcpus = std::max(target.vcpus, state.vcpus_online),
          .memory_bytes =
              std::max(target.memory_bytes, limits.boot_memory_bytes +
                                                state.hotplug_requested_bytes)};
}

int64_t MemoryShortfall(const VmLimits& limits, const VmState& state,
                        const VmSize& target) {
  const int64_t memory = target.memory_bytes - limits.boot_memory_bytes;
  if (limits.memory_device != MemoryDevice::kPcDimm) {
    return std::max<int64_t>(0, state.hotplug_plugged_bytes - memory);
  }
  return TotalBytes(SpareDimms(limits, state.dimms, memory));
}

std::string DescribeStep(const ResizeStep& step) {
  return std::visit(Describe{}, step);
}

}  // namespace podvisor
