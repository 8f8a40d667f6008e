#include "sandbox/size/pod_sizing.h"

#include <algorithm>
#include <cstdint>
#include <optional>

#include "absl/strings/str_cat.h"
#include "base/cpu_list.h"
#include "base/status_macros.h"

namespace podvisor {
namespace {

// The least vCPUs with which every CPU of the guest that containers name is
// there. A text that is no list names none: it was refused before it counts.
int VcpusNamed(const PodSizing& sizing) {
  int vcpus = 0;
  if (sizing.cpuset == CpusetMode::kPin) return vcpus;
  for (const ContainerResources& container : sizing.containers) {
    const absl::StatusOr<CpuList> cpus = ParseCpuList(container.cpuset_cpus);
    if (!cpus.ok() || cpus->empty()) continue;
    vcpus = std::max(vcpus, *cpus->rbegin() + 1);
  }
  return vcpus;
}

}  // namespace

absl::StatusOr<VmTarget> TargetOf(const PodSizing& sizing) {
  ASSIGN_OR_RETURN(
      const PodDemand demand,
      DemandOfPod(sizing.containers, sizing.pod_total, sizing.pod_total_use));
  ASSIGN_OR_RETURN(const PodDemand asked,
                   DemandOfPod(sizing.containers, std::nullopt));
  ASSIGN_OR_RETURN(VmTarget target,
                   TargetFor(demand, sizing.rules, sizing.limits));
  const int named = VcpusNamed(sizing);
  target.size.vcpus =
      std::max(target.size.vcpus, std::min(named, sizing.limits.max_vcpus));
  target.wanted_vcpus = std::max<int64_t>(target.wanted_vcpus, named);
  target.cut_by_pod = {
      .milli_cpu = std::max<int64_t>(asked.milli_cpu - demand.milli_cpu, 0),
      .memory_bytes =
          std::max<int64_t>(asked.memory_bytes - demand.memory_bytes, 0)};
  return target;
}

namespace {

absl::Status DoesNotFit(absl::string_view what, absl::string_view vm) {
  return absl::InvalidArgumentError(
      absl::StrCat(what, " does not fit into a VM of ", vm,
                   ", and hot plug is off (enable_cpu_memory_hotplug = "
                   "false)"));
}

}  // namespace

absl::StatusOr<VmLimits> LimitsOf(const PodSettings& settings,
                                  const SizeOverrides& overrides) {
  VmLimits limits = settings.limits;
  if (overrides.base_milli_cpu.has_value()) {
    limits.boot_vcpus =
        static_cast<int>((*overrides.base_milli_cpu + 999) / 1000);
  }
  if (overrides.max_vcpus.has_value()) {
    // Never above what the node's administrator allows.
    limits.max_vcpus = static_cast<int>(
        std::min<int64_t>(*overrides.max_vcpus, limits.max_vcpus));
  }
  if (overrides.base_memory_bytes.has_value()) {
    limits.boot_memory_bytes =
        RoundUpToMemoryUnit(*overrides.base_memory_bytes);
  }
  if (limits.boot_vcpus > limits.max_vcpus) {
    return absl::InvalidArgumentError(
        absl::StrCat("the pod's base of ", limits.boot_vcpus,
                     " vCPUs is above the maximum of ", limits.max_vcpus));
  }
  if (limits.boot_memory_bytes > limits.max_memory_bytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the pod's base of ", limits.boot_memory_bytes,
        " bytes is above the maximum of ", limits.max_memory_bytes));
  }
  if (limits.memory_device == MemoryDevice::kNone) {
    limits.max_vcpus = limits.boot_vcpus;
    limits.max_memory_bytes = limits.boot_memory_bytes;
  }
  return limits;
}

SizingRules RulesOf(const PodSettings& settings,
                    const SizeOverrides& overrides) {
  SizingRules rules = settings.sizing;
  if (overrides.base_milli_cpu.has_value()) {
    rules.base_milli_cpu = *overrides.base_milli_cpu;
  }
  if (overrides.base_memory_bytes.has_value()) {
    rules.base_memory_bytes = RoundUpToMemoryUnit(*overrides.base_memory_bytes);
  }
  return rules;
}

std::optional<int64_t> HostCpuLimit(const SizingRules& rules,
                                    const VmTarget& target) {
  if (rules.base_milli_cpu % 1000 == 0 ||
      target.wanted_milli_cpu >= int64_t{1000} * target.size.vcpus) {
    return std::nullopt;
  }
  return target.wanted_milli_cpu;
}

absl::Status CheckFitsWithoutHotplug(const PodDemand& container,
                                     const VmLimits& limits) {
  if (limits.memory_device != MemoryDevice::kNone ||
      container.memory_bytes <= limits.boot_memory_bytes) {
    return absl::OkStatus();
  }
  return DoesNotFit(
      absl::StrCat("a container of ", container.memory_bytes, " bytes"),
      absl::StrCat(limits.boot_memory_bytes));
}

absl::Status CheckPodFitsWithoutHotplug(const PodDemand& pod,
                                        const VmLimits& limits) {
  if (limits.memory_device != MemoryDevice::kNone) return absl::OkStatus();
  if (pod.memory_bytes > limits.boot_memory_bytes) {
    return DoesNotFit(absl::StrCat("a pod of ", pod.memory_bytes, " bytes"),
                      absl::StrCat(limits.boot_memory_bytes));
  }
  if (pod.milli_cpu > int64_t{1000} * limits.boot_vcpus) {
    return DoesNotFit(absl::StrCat("a pod of ", pod.milli_cpu, " milli-CPU"),
                      absl::StrCat(limits.boot_vcpus, " vCPUs"));
  }
  return absl::OkStatus();
}

}  // namespace podvisor
