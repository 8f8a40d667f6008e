#include "cri/resize_dry_run.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/status/statusor.h"
#include "base/status_macros.h"
#include "hotplug/projected_state.h"
#include "sandbox/size/accounting_guard.h"

namespace podvisor {
namespace {

int64_t GuestUseAtBoot(int64_t memory_bytes) {
  return (int64_t{64} << 20) + memory_bytes / 8;
}

// Fills in what is known before the VM is looked at.
absl::Status Want(const PodSizing& sizing, DryRunStep& step) {
  ASSIGN_OR_RETURN(step.demand,
                   DemandOfPod(sizing.containers, sizing.pod_total));
  ASSIGN_OR_RETURN(step.target, TargetOf(sizing));
  return absl::OkStatus();
}

// The accounting guard of a VM that is to have at least this size.
absl::Status Guard(const VmSize& target, ObservedSizing& pod,
                   absl::Status& warning) {
  const VmSize size = UsableSize(pod.sizing.limits, pod.observed, target);
  PodAccount account = pod.account;
  account.guest_bytes = size.memory_bytes;
  account.vmm_bytes = VmmCostBytes(size, pod.accelerator);
  const absl::Status checked = CheckAccount(account, pod.account);
  if (pod.guard == AccountingGuard::kEnforce) RETURN_IF_ERROR(checked);
  warning = checked;
  pod.account = account;
  return absl::OkStatus();
}

absl::Status Create(const ContainerResources& container, ObservedSizing& pod,
                    DryRunStep& step) {
  const PodSizing& sizing = pod.sizing;
  ASSIGN_OR_RETURN(const PodDemand demand, DemandOf(container));
  RETURN_IF_ERROR(CheckFitsWithoutHotplug(demand, sizing.limits));
  RETURN_IF_ERROR(Want(sizing, step));
  RETURN_IF_ERROR(Guard(step.target.size, pod, step.warning));
  ASSIGN_OR_RETURN(step.plan,
                   PlanGrow(sizing.limits, pod.observed, step.target.size));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ObservedSizing> BootedVm(const PodSettings& settings,
                                        const PodSpec& spec) {
  ObservedSizing pod;
  ASSIGN_OR_RETURN(pod.sizing.limits, LimitsOf(settings, spec.size));
  pod.sizing.rules = RulesOf(settings, spec.size);
  pod.sizing.cpuset = settings.cpuset;
  pod.sizing.pod_total = spec.resources;
  pod.observed.vcpus_plugged = pod.sizing.limits.boot_vcpus;
  pod.observed.vcpus_online = pod.sizing.limits.boot_vcpus;
  const int64_t memory = pod.sizing.limits.boot_memory_bytes;
  pod.observed.guest_available_bytes =
      std::max<int64_t>(0, memory - GuestUseAtBoot(memory));
  pod.observed.guest_free_bytes = pod.observed.guest_available_bytes;
  pod.guard = settings.accounting_guard;
  pod.accelerator = settings.vm.accelerator;
  if (settings.presize) {
    pod.sizing.pod_total_use = PodTotalUse::kCapAndFloor;
    if (spec.resources.has_value()) {
      ASSIGN_OR_RETURN(const PodDemand demand, DemandOf(*spec.resources));
      RETURN_IF_ERROR(CheckPodFitsWithoutHotplug(demand, pod.sizing.limits));
    }
  }
  ASSIGN_OR_RETURN(const VmTarget target, TargetOf(pod.sizing));
  ASSIGN_OR_RETURN(pod.account, AccountFor(spec.resources, spec.overhead,
                                           target.size, pod.accelerator));
  if (pod.guard == AccountingGuard::kEnforce) {
    RETURN_IF_ERROR(CheckAccount(pod.account, PodAccount()));
  }
  ASSIGN_OR_RETURN(const ResizePlan plan,
                   PlanGrow(pod.sizing.limits, pod.observed, target.size));
  pod.observed = StateAfter(plan, pod.observed);
  return pod;
}

DryRunStep DryRunCreate(const ContainerResources& container,
                        ObservedSizing& pod) {
  DryRunStep step;
  ObservedSizing after = pod;
  after.sizing.containers.push_back(container);
  step.refused = Create(container, after, step);
  if (!step.refused.ok()) return step;
  after.observed = StateAfter(step.plan, pod.observed);
  pod = std::move(after);
  return step;
}

DryRunStep DryRunSettle(const ObservedSizing& pod) {
  DryRunStep step;
  step.refused = [&]() -> absl::Status {
    RETURN_IF_ERROR(Want(pod.sizing, step));
    ASSIGN_OR_RETURN(step.plan, PlanResize(pod.sizing.limits, pod.observed,
                                           step.target.size));
    return absl::OkStatus();
  }();
  return step;
}

}  // namespace podvisor
