// How a pod's VM follows what the pod's containers ask for: one loop for each
// pod, which compares wanted with observed and may run at any time.

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clean_text.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "sandbox/cgroup_reading.h"
#include "sandbox/container_request.h"
#include "sandbox/cpuset.h"
#include "sandbox/pod.h"
#include "sandbox/pod_sizing.h"

namespace podvisor {
namespace {

// Each part of an attempt to give something back, which holds the pod's
// operation lock: a new container must not wait long for its turn. The guest
// goes on by itself with what it was once asked for, and a later attempt finds
// out how far it came.
constexpr absl::Duration kSettleSlice = absl::Milliseconds(1500);
// When the lock was not free.
constexpr absl::Duration kBusyRetry = absl::Milliseconds(200);
// How soon to come again when a container waits for its turn.
constexpr absl::Duration kYield = absl::Milliseconds(100);

}  // namespace

std::optional<ObservedSizing> Pod::Sizing() const {
  if (state() != SandboxState::kReady) return std::nullopt;
  const PodSizer& sizer = guest_.vm()->sizer();
  return ObservedSizing{.sizing = wanted_.Sizing(sizer.limits()),
                        .observed = sizer.observed(),
                        .account = accounting_.account(),
                        .guard = services_.vm.settings->accounting_guard,
                        .accelerator = services_.vm.settings->vm.accelerator};
}

absl::Status Pod::CheckCpusetOf(const Container& asking,
                                const ContainerResources& wanted) const {
  ASSIGN_OR_RETURN(
      const VmTarget target,
      TargetOf(wanted_.Granted(guest_.vm()->sizer().limits(), &asking)));
  const PodSettings& settings = *services_.vm.settings;
  return CheckCpuset(settings.cpuset, wanted, settings.host_cpus,
                     target.size.vcpus);
}

// Decided anew each time, from the records alone: whatever an earlier daemon
// did to the threads, and whichever of them are new, they are right afterwards.
absl::Status Pod::PinVcpus(absl::Time deadline) {
  PodVm& vm = *guest_.vm();
  const PodSizing sizing = wanted_.Sizing(vm.sizer().limits());
  ASSIGN_OR_RETURN(const CpuList cpus, PinnedCpus(services_.vm.settings->cpuset,
                                                  sizing.containers));
  return vm.PinVcpus(cpus, deadline);
}

absl::Status Pod::Grow(const Container* asking, absl::Time deadline) {
  return GrowWithin(wanted_.Totals(), asking, deadline);
}

absl::Status Pod::GrowWithin(const PodTotals& totals, const Container* asking,
                             absl::Time deadline) {
  ASSIGN_OR_RETURN(PodVm* const vm, guest_.ReadyVm());
  const VmLimits& limits = vm->sizer().limits();
  PodSizing everybody = wanted_.Sizing(limits);
  PodSizing granted = wanted_.Granted(limits, asking);
  everybody.pod_total = granted.pod_total = totals.resources;
  ASSIGN_OR_RETURN(const VmTarget needed, TargetOf(granted));
  // What does not fit, or takes too long, is of those who wait.
  const VmTarget all = TargetOf(everybody).value_or(needed);
  const absl::Status grown = GrowTo(totals, all, needed, deadline);
  // Whatever was to be given back is looked at again, after the delay.
  settle_.After(services_.vm.settings->shrink_delay);
  return grown;
}

void Pod::LogCuts(const VmTarget& target) const {
  if (target.cut_by_pod != PodDemand()) {
    Log(LogLevel::kWarning,
        "the containers ask for more than the limits of their pod; the VM "
        "stays within those",
        {{"sandbox_id", id().value()},
         {"cut_milli_cpu", absl::StrCat(target.cut_by_pod.milli_cpu)},
         {"cut_memory_bytes", absl::StrCat(target.cut_by_pod.memory_bytes)}});
  }
  if (!target.vcpus_clamped && !target.memory_clamped) return;
  Log(LogLevel::kWarning, "the VM cannot be as large as its containers ask",
      {{"sandbox_id", id().value()},
       {"wanted_vcpus", absl::StrCat(target.wanted_vcpus)},
       {"wanted_memory_bytes", absl::StrCat(target.wanted_memory_bytes)},
       {"vcpus", absl::StrCat(target.size.vcpus)},
       {"memory_bytes", absl::StrCat(target.size.memory_bytes)}});
}

absl::Status Pod::GrowTo(const PodTotals& totals, const VmTarget& target,
                         const VmTarget& least, absl::Time deadline) {
  LogCuts(target);
  if (const absl::Status allowed = accounting_.Allow(totals, target.size);
      !allowed.ok()) {
    return target == least ? allowed : GrowTo(totals, least, least, deadline);
  }
  // The host's limit first: the guest needs it to bring up what it gets.
  absl::Status grown =
      guest_.vm()->cgroup().RaiseCpuLimit(wanted_.HostCpus(target));
  if (grown.ok()) grown = guest_.vm()->sizer().Grow(target, least, deadline);
  if (grown.ok()) grown = PinVcpus(deadline);
  if (grown.ok()) {
    // With what it got above it.
    accounting_.Accept(totals, least.size);
  }
  sampler_.Publish();
  return grown;
}

absl::Status Pod::VerifySize(absl::Time deadline) {
  ASSIGN_OR_RETURN(PodVm* const vm, guest_.ReadyVm());
  ASSIGN_OR_RETURN(const VmTarget target,
                   TargetOf(wanted_.Granted(vm->sizer().limits(), nullptr)));
  // Observing disturbs no resize.
  ASSIGN_OR_RETURN(const bool has, vm->sizer().Has(target.size, deadline));
  if (has) return absl::OkStatus();
  if (!operation_lock_.LockUntil(deadline)) return operation_lock_.Busy();
  const OperationHolder operation(&operation_lock_);
  return Grow(nullptr, deadline);
}

absl::Status Pod::UpdateResources(
    const std::optional<ContainerResources>& resources,
    const std::optional<ContainerResources>& overhead, absl::Time deadline) {
  if (!operation_lock_.LockUntil(deadline)) return operation_lock_.Busy();
  const OperationHolder operation(&operation_lock_);
  ASSIGN_OR_RETURN(PodVm* const vm, guest_.ReadyVm());
  PodTotals totals = wanted_.Totals();
  if (resources.has_value()) totals.resources = resources;
  if (overhead.has_value()) totals.overhead = overhead;
  const PodAccount before = accounting_.account();
  absl::Status updated = wanted_.CheckTotals(totals, vm->sizer().limits());
  if (updated.ok()) updated = GrowWithin(totals, nullptr, deadline);
  if (updated.ok()) {
    updated = Annotate(stored_.Change([&](PodRecord& record) {
      if (resources.has_value()) record.updated_resources = resources;
      if (overhead.has_value()) record.updated_overhead = overhead;
    }),
                       "state store");
    if (!updated.ok()) accounting_.Restore(before);
  }
  settle_.After(absl::ZeroDuration());
  return updated;
}

void Pod::Settle() {
  if (!operation_lock_.TryLockInTurn()) {
    ComeAgain();
    return;
  }
  const OperationHolder operation(&operation_lock_);
  const absl::StatusOr<PodVm*> vm = guest_.ReadyVm();
  if (!vm.ok()) return;
  if (MustYield()) {
    settle_.After(kYield);
    return;
  }
  VmTarget target;
  const absl::Status settled = TryToSettle(**vm, target);
  sampler_.Publish();
  const absl::Duration again = NextSettle(settled, target.size);
  if (!settled.ok()) {
    Log(LogLevel::kDebug, "the VM is not yet at its size; trying again",
        {{"sandbox_id", id().value()},
         {"after", absl::FormatDuration(again)},
         {"reason", settled.message()}});
  }
  if (again != absl::InfiniteDuration()) settle_.After(again);
}

// The timers are everybody's: nothing waits on them for its turn.
void Pod::ComeAgain() {
  if (settle_.MayYield(services_.vm.settings->shrink_delay)) {
    settle_.After(kBusyRetry);
    return;
  }
  operation_lock_.AskForTurn(
      timers_.WhileOwned([this] { settle_.After(absl::ZeroDuration()); }));
}

bool Pod::MustYield() {
  const auto all = containers_.All();
  const bool awaited = std::any_of(
      all.begin(), all.end(),
      [](const auto& container) { return container->IsChanging(); });
  return awaited && settle_.MayYield(services_.vm.settings->shrink_delay);
}

absl::Duration Pod::NextSettle(const absl::Status& settled,
                               const VmSize& target) {
  absl::Duration next = absl::InfiniteDuration();
  if (settled.ok()) {
    settle_.Reached();
  } else {
    const VmSizes has = guest_.vm()->sizer().sizes();
    next = settle_.Missed(target, {has.online_vcpus, has.online_memory_bytes});
  }
  return std::min(next, wanted_.NextRelease());
}

absl::Status Pod::TryToSettle(PodVm& vm, VmTarget& target) {
  const auto soon = [this] { return services_.vm.clock->Now() + kSettleSlice; };
  // First the cgroups, then the VM, which has room for what a cgroup that could
  // not be restored may have: the rest of the pod does not wait for it.
  const absl::Status restored = RestoreCgroups(soon());
  ASSIGN_OR_RETURN(target, wanted_.Target(vm.sizer().limits()));
  ASSIGN_OR_RETURN(const VmTarget held,
                   wanted_.HeldTarget(vm.sizer().limits()));
  const std::optional<int64_t> host_cpus = wanted_.HostCpus(target);
  // A new configuration may want a larger VM than the last one did.
  absl::Status may_grow =
      accounting_.AllowSettling(wanted_.Totals(), target.size);
  if (may_grow.ok()) may_grow = vm.cgroup().RaiseCpuLimit(host_cpus);
  absl::Status error = restored;
  error.Update(may_grow);
  {
    absl::MutexLock lock(&mutex_);
    run_error_ = CleanText(error.message(), 1024);
  }
  absl::Status settled =
      vm.sizer().Settle(target, held.size, may_grow.ok(), soon());
  accounting_.Lower(wanted_.Totals(), held.size);
  settled.Update(vm.cgroup().SetCpuLimit(host_cpus));
  settled.Update(error);
  // Also beside a guest that keeps something.
  settled.Update(PinVcpus(soon()));
  settled.Update(eraser_.EraseAbandoned(soon()));
  settled.Update(vm.ReleaseUnusedImages(soon()));
  return settled;
}

absl::Status Pod::RestoreCgroups(absl::Time deadline) {
  ASSIGN_OR_RETURN(GuestAgent* const agent, guest_.ReadyAgent());
  absl::Status first;
  for (const auto& container : containers_.All()) {
    // An update under way restores its own, or leaves it to a later run.
    const std::optional<ContainerResources> tried = container->tried();
    if (!container->Counts() || !tried || container->IsChanging()) continue;
    // Never waits for it: its operations come before those of the pod.
    OperationLock& lock = container->operation_lock();
    if (!lock.LockUntil(absl::InfinitePast())) {
      first.Update(absl::UnavailableError("a container is being worked on"));
      continue;
    }
    const OperationHolder operation(&lock);
    first.Update(RestoreCgroup(*container, *tried, *agent, deadline));
  }
  return first;
}

absl::Status Pod::RestoreCgroup(Container& container,
                                const ContainerResources& tried,
                                GuestAgent& agent, absl::Time deadline) {
  const ContainerResources had = container.resources();
  const CpusetMode cpuset = services_.vm.settings->cpuset;
  const absl::Status restored = agent.Update(
      container.id(), ExplicitResourcesOf(had, cpuset, tried), deadline);
  // One that the guest does not know has no cgroup; its end will be told.
  if (restored.ok() || absl::IsNotFound(restored)) {
    container.SetCgroupIsKnown();
    return absl::OkStatus();
  }
  const absl::StatusOr<agent::v1::ReadCgroupResponse> has = agent.ReadCgroup(
      container.id(), FilesToRead(had, tried, cpuset), deadline);
  // What was seen earlier may have been changed by the attempt.
  container.SetSeen(has.ok() ? ResourcesAsRead(had, tried, *has, cpuset)
                             : CommonResources(had, tried));
  return Annotate(restored, "container cgroup");
}

}  // namespace podvisor
