#include "sandbox/parts/pod_resizer.h"

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "sandbox/size/cpuset.h"

namespace podvisor {
namespace {

// A guest that does not take what it is given is a VM without room; one that is
// gone is not.
absl::Status GrowError(const absl::Status& grown) {
  return absl::Status(absl::IsDeadlineExceeded(grown)
                          ? absl::StatusCode::kResourceExhausted
                          : grown.code(),
                      absl::StrCat("the VM cannot grow: ", grown.message()));
}

}  // namespace

std::optional<ObservedSizing> PodResizer::Sizing() const {
  if (parts_.pod->state() != SandboxState::kReady) return std::nullopt;
  const PodSizer& sizer = parts_.guest->vm()->sizer();
  return ObservedSizing{.sizing = parts_.wanted->Sizing(sizer.limits()),
                        .observed = sizer.observed(),
                        .account = parts_.accounting->account(),
                        .guard = parts_.settings->accounting_guard,
                        .accelerator = parts_.settings->vm.accelerator};
}

absl::StatusOr<VmTarget> PodResizer::PlanBoot(const VmLimits& limits) {
  const PodTotals totals = parts_.wanted->Totals();
  RETURN_IF_ERROR(parts_.wanted->CheckTotals(totals, limits));
  ASSIGN_OR_RETURN(const VmTarget target, parts_.wanted->Target(limits));
  RETURN_IF_ERROR(parts_.accounting->Allow(totals, target.size));
  parts_.accounting->Accept(totals, target.size);
  return target;
}

absl::Status PodResizer::GrowAfterBoot(const VmTarget& target,
                                       absl::Time deadline) {
  const VmLimits& limits = parts_.guest->vm()->sizer().limits();
  if (target.size == VmSize{limits.boot_vcpus, limits.boot_memory_bytes}) {
    LogCuts(target);
    return absl::OkStatus();
  }
  return GrowTo(parts_.wanted->Totals(), target, target, nullptr, deadline);
}

absl::Status PodResizer::CheckCpusetOf(const Container& asking,
                                       const ContainerResources& after) const {
  // What it names already stays; what it comes to name makes nothing larger.
  ContainerResources asked = after;
  const bool is_new = asking.phase() == ContainerPhase::kCreating;
  asked.cpuset_cpus = is_new ? "" : asking.resources().cpuset_cpus;
  ASSIGN_OR_RETURN(const VmTarget target,
                   TargetOf(parts_.wanted->GrantedWith(
                       parts_.guest->vm()->sizer().limits(), asking, asked)));
  const PodSettings& settings = *parts_.settings;
  return CheckCpuset(settings.cpuset, after, settings.host_cpus,
                     target.size.vcpus);
}

absl::Status PodResizer::Grow(const Container* asking, absl::Time deadline) {
  return GrowWithin(parts_.wanted->Totals(), asking, deadline);
}

absl::Status PodResizer::GrowWithin(const PodTotals& totals,
                                    const Container* asking,
                                    absl::Time deadline) {
  ASSIGN_OR_RETURN(PodVm* const vm, parts_.guest->ReadyVm());
  const VmLimits& limits = vm->sizer().limits();
  PodSizing everybody = parts_.wanted->Sizing(limits);
  PodSizing granted = parts_.wanted->Granted(limits, asking);
  everybody.pod_total = granted.pod_total = totals.resources;
  ASSIGN_OR_RETURN(const VmTarget needed, TargetOf(granted));
  // What does not fit, or takes too long, is of those who wait.
  const VmTarget all = TargetOf(everybody).value_or(needed);
  const absl::Status grown = GrowTo(totals, all, needed, asking, deadline);
  // Whatever was to be given back is looked at again, after the delay.
  parts_.settle->After(parts_.settings->shrink_delay);
  return grown;
}

absl::Status PodResizer::GrowTo(const PodTotals& totals, const VmTarget& target,
                                const VmTarget& least, const Container* asking,
                                absl::Time deadline) {
  LogCuts(target);
  if (const absl::Status allowed =
          parts_.accounting->Allow(totals, target.size);
      !allowed.ok()) {
    return target == least ? GrowError(allowed)
                           : GrowTo(totals, least, least, asking, deadline);
  }
  // The host's limit first: the guest needs it to bring up what it gets.
  absl::Status grown = parts_.guest->vm()->cgroup().RaiseCpuLimit(
      parts_.wanted->HostCpus(target));
  if (grown.ok())
    grown = parts_.guest->vm()->sizer().Grow(target, least, deadline);
  if (grown.ok()) grown = PinVcpus(asking, deadline);
  if (grown.ok()) {
    // With what it got above it.
    parts_.accounting->Accept(totals, least.size);
  } else {
    grown = GrowError(grown);
  }
  parts_.sampler->Publish();
  return grown;
}

void PodResizer::LogCuts(const VmTarget& target) const {
  if (target.cut_by_pod != PodDemand()) {
    Log(LogLevel::kWarning,
        "the containers ask for more than the limits of their pod; the VM "
        "stays within those",
        {{"sandbox_id", parts_.pod->id().value()},
         {"cut_milli_cpu", absl::StrCat(target.cut_by_pod.milli_cpu)},
         {"cut_memory_bytes", absl::StrCat(target.cut_by_pod.memory_bytes)}});
  }
  if (!target.vcpus_clamped && !target.memory_clamped) return;
  Log(LogLevel::kWarning, "the VM cannot be as large as its containers ask",
      {{"sandbox_id", parts_.pod->id().value()},
       {"wanted_vcpus", absl::StrCat(target.wanted_vcpus)},
       {"wanted_memory_bytes", absl::StrCat(target.wanted_memory_bytes)},
       {"vcpus", absl::StrCat(target.size.vcpus)},
       {"memory_bytes", absl::StrCat(target.size.memory_bytes)}});
}

absl::Status PodResizer::Verify(absl::Time deadline) {
  ASSIGN_OR_RETURN(PodVm* const vm, parts_.guest->ReadyVm());
  ASSIGN_OR_RETURN(const VmTarget target, TargetOf(parts_.wanted->Granted(
                                              vm->sizer().limits(), nullptr)));
  // Observing disturbs no resize.
  ASSIGN_OR_RETURN(const bool has, vm->sizer().Has(target.size, deadline));
  if (has) return absl::OkStatus();
  if (!parts_.operation_lock->LockUntil(deadline))
    return parts_.operation_lock->Busy();
  const OperationHolder operation(parts_.operation_lock);
  return Grow(nullptr, deadline);
}

absl::Status PodResizer::UpdateTotals(
    const std::optional<ContainerResources>& resources,
    const std::optional<ContainerResources>& overhead, absl::Time deadline) {
  if (!parts_.operation_lock->LockUntil(deadline))
    return parts_.operation_lock->Busy();
  const OperationHolder operation(parts_.operation_lock);
  ASSIGN_OR_RETURN(PodVm* const vm, parts_.guest->ReadyVm());
  PodTotals totals = parts_.wanted->Totals();
  if (resources.has_value()) totals.resources = resources;
  if (overhead.has_value()) totals.overhead = overhead;
  const PodAccount before = parts_.accounting->account();
  absl::Status updated =
      parts_.wanted->CheckTotals(totals, vm->sizer().limits());
  if (updated.ok()) updated = GrowWithin(totals, nullptr, deadline);
  if (updated.ok()) {
    updated = Annotate(parts_.pod->Change([&](PodRecord& record) {
      if (resources.has_value()) record.updated_resources = resources;
      if (overhead.has_value()) record.updated_overhead = overhead;
    }),
                       "state store");
    if (!updated.ok()) parts_.accounting->Restore(before);
  }
  parts_.settle->After(absl::ZeroDuration());
  return updated;
}

// Decided anew each time, from the records alone: whatever an earlier daemon
// did to the threads, and whichever of them are new, they are right afterwards.
absl::Status PodResizer::PinVcpus(const Container* asking,
                                  absl::Time deadline) {
  PodVm& vm = *parts_.guest->vm();
  const PodSizing sizing = parts_.wanted->Granted(vm.sizer().limits(), asking);
  ASSIGN_OR_RETURN(const CpuList cpus,
                   PinnedCpus(parts_.settings->cpuset, sizing.containers));
  return vm.PinVcpus(cpus, deadline);
}

}  // namespace podvisor
