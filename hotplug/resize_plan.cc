#include "hotplug/resize_plan.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

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

// Whether the guest must take memory, rather than give it back.
bool MemoryGrows(const VmState& state, int64_t hotplug_bytes) {
  return std::min(state.hotplug_plugged_bytes, state.hotplug_online_bytes) <
         hotplug_bytes;
}

// How few vCPUs QEMU may be left with.
int PluggedFloor(const VmLimits& limits, const VmState& state,
                 const VmSize& target) {
  if (limits.vcpu_unplug == VcpuUnplug::kPark) return state.vcpus_plugged;
  return std::max(target.vcpus, state.vcpus_plugged - state.vcpus_removable);
}

struct Describe {
  std::string operator()(const RequestMemory& step) const {
    return absl::StrCat("request ", step.hotplug_bytes,
                        " bytes of hot-plugged memory");
  }
  std::string operator()(const PlugVcpus& step) const {
    return absl::StrCat("plug vCPUs to ", step.vcpus);
  }
  std::string operator()(const OnlineVcpus& step) const {
    return absl::StrCat("bring vCPUs online to ", step.vcpus);
  }
  std::string operator()(const AwaitMemoryGrown& step) const {
    return absl::StrCat("wait until the guest has ", step.hotplug_bytes,
                        " bytes of hot-plugged memory");
  }
  std::string operator()(const OfflineVcpus& step) const {
    return absl::StrCat("take vCPUs offline to ", step.vcpus);
  }
  std::string operator()(const UnplugVcpus& step) const {
    return absl::StrCat("unplug vCPUs to ", step.vcpus);
  }
  std::string operator()(const AwaitMemoryShrunk& step) const {
    return absl::StrCat("wait until the guest has given back all but ",
                        step.hotplug_bytes, " bytes of hot-plugged memory");
  }
};

}  // namespace

absl::StatusOr<ResizePlan> PlanResize(const VmLimits& limits,
                                      const VmState& state,
                                      const VmSize& target) {
  RETURN_IF_ERROR(CheckVmLimits(limits));
  RETURN_IF_ERROR(CheckState(state));
  RETURN_IF_ERROR(CheckTarget(limits, target));

  const int64_t memory = target.memory_bytes - limits.boot_memory_bytes;
  const bool memory_moves = !MemoryIsAt(state, memory);
  const bool memory_grows = memory_moves && MemoryGrows(state, memory);
  if (memory_moves && limits.memory_device == MemoryDevice::kPcDimm) {
    return absl::UnimplementedError("memory: pc-dimm");
  }

  ResizePlan plan;
  if (memory_grows) plan.steps.push_back(RequestMemory{memory});
  if (state.vcpus_plugged < target.vcpus) {
    plan.steps.push_back(PlugVcpus{target.vcpus});
  }
  if (state.vcpus_online < target.vcpus) {
    plan.steps.push_back(OnlineVcpus{target.vcpus});
  }
  if (memory_grows) plan.steps.push_back(AwaitMemoryGrown{memory});

  if (state.vcpus_online > target.vcpus) {
    plan.steps.push_back(OfflineVcpus{target.vcpus});
  }
  const int floor = PluggedFloor(limits, state, target);
  if (state.vcpus_plugged > floor) plan.steps.push_back(UnplugVcpus{floor});
  if (memory_moves && !memory_grows) {
    plan.steps.push_back(RequestMemory{memory});
    plan.steps.push_back(AwaitMemoryShrunk{memory});
  }
  return plan;
}

std::string DescribeStep(const ResizeStep& step) {
  return std::visit(Describe{}, step);
}

}  // namespace podvisor
