// How a pod's VM follows what the pod's containers ask for: one loop for each
// pod, which compares wanted with observed and may run at any time.

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "sandbox/cpuset.h"
#include "sandbox/pod.h"
#include "sandbox/pod_sizing.h"

namespace podvisor {
namespace {

// One attempt to give something back holds the pod's operation lock, and a new
// container must not wait long for its turn. The guest goes on by itself with
// what it was once asked for: a later attempt finds out how far it came.
constexpr absl::Duration kSettleSlice = absl::Milliseconds(1500);
// When the lock was not free.
constexpr absl::Duration kBusyRetry = absl::Milliseconds(200);
constexpr absl::Duration kLeastBackoff = absl::Milliseconds(200);
constexpr absl::Duration kMostBackoff = absl::Seconds(30);

}  // namespace

std::optional<ContainerResources> Pod::PodTotalLocked() const {
  return record_.updated_resources.has_value() ? record_.updated_resources
                                               : spec_.resources;
}

absl::Status Pod::CheckPodTotal(const VmLimits& limits) const {
  std::optional<ContainerResources> total;
  {
    absl::MutexLock lock(&mutex_);
    total = PodTotalLocked();
  }
  if (!services_.vm.settings->presize || !total.has_value()) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const PodDemand demand, DemandOf(*total));
  return CheckPodFitsWithoutHotplug(demand, limits);
}

PodSizing Pod::SizingLocked(const VmLimits& limits) const {
  PodSizing sizing;
  for (const auto& [id, container] : containers_) {
    if (container->Counts()) sizing.containers.push_back(container->wanted());
  }
  sizing.pod_total = PodTotalLocked();
  sizing.pod_total_use =
      UseOfPodTotal(services_.vm.settings->presize,
                    record_.had_containers || !containers_.empty(),
                    !sizing.containers.empty());
  sizing.rules = RulesOf(*services_.vm.settings, spec_.size);
  sizing.limits = limits;
  return sizing;
}

std::optional<ObservedSizing> Pod::Sizing() const {
  absl::MutexLock lock(&mutex_);
  if (record_.state != SandboxState::kReady) return std::nullopt;
  return ObservedSizing{SizingLocked(vm_->sizer().limits()),
                        vm_->sizer().observed()};
}

absl::StatusOr<VmTarget> Pod::Target(const VmLimits& limits) const {
  absl::MutexLock lock(&mutex_);
  return TargetOf(SizingLocked(limits));
}

VmSizes Pod::SizesLocked() const {
  VmSizes sizes = vm_->sizer().sizes();
  if (record_.state == SandboxState::kReady) {
    // What is wanted now, not what was last tried. It has no size only while
    // a container that asks for the impossible is being refused.
    if (const auto target = TargetOf(SizingLocked(vm_->sizer().limits()));
        target.ok()) {
      sizes.target_vcpus = target->size.vcpus;
      sizes.target_memory_bytes = target->size.memory_bytes;
      sizes.vcpus_clamped = target->vcpus_clamped;
      sizes.memory_clamped = target->memory_clamped;
    }
  } else if (vm_->vm().Exited()) {
    sizes.plugged_vcpus = sizes.online_vcpus = sizes.memory_slots_used = 0;
    sizes.plugged_memory_bytes = sizes.online_memory_bytes = 0;
    sizes.shortfall_bytes = 0;
  }
  return sizes;
}

absl::Status Pod::CheckCpusetOf(const ContainerResources& container) const {
  ASSIGN_OR_RETURN(const VmTarget target, Target(vm_->sizer().limits()));
  const PodSettings& settings = *services_.vm.settings;
  return CheckCpuset(settings.cpuset, container, settings.host_cpus,
                     target.size.vcpus);
}

// Decided anew each time, from the records alone: whatever an earlier daemon
// did to the threads, and whichever of them are new, they are right afterwards.
absl::Status Pod::PinVcpus(absl::Time deadline) {
  std::vector<ContainerResources> wanted;
  {
    absl::MutexLock lock(&mutex_);
    wanted = SizingLocked(vm_->sizer().limits()).containers;
  }
  ASSIGN_OR_RETURN(const CpuList cpus,
                   PinnedCpus(services_.vm.settings->cpuset, wanted));
  return vm_->PinVcpus(cpus, deadline);
}

absl::Status Pod::GrowTo(const VmTarget& target, absl::Time deadline) {
  if (target.vcpus_clamped || target.memory_clamped) {
    Log(LogLevel::kWarning, "the VM cannot be as large as its containers ask",
        {{"sandbox_id", id_.value()},
         {"wanted_vcpus", absl::StrCat(target.wanted_vcpus)},
         {"wanted_memory_bytes", absl::StrCat(target.wanted_memory_bytes)},
         {"vcpus", absl::StrCat(target.size.vcpus)},
         {"memory_bytes", absl::StrCat(target.size.memory_bytes)}});
  }
  ASSIGN_OR_RETURN(const PodAccount account, AccountOf(target.size));
  RETURN_IF_ERROR(Guard(account));
  // The host's limit first: the guest needs it to bring up what it gets.
  absl::Status grown = vm_->cgroup().RaiseCpuLimit(
      HostCpuLimit(RulesOf(*services_.vm.settings, spec_.size), target));
  if (grown.ok()) grown = vm_->sizer().Grow(target, deadline);
  if (grown.ok()) grown = PinVcpus(deadline);
  if (grown.ok()) SetAccount(account);
  PublishMetrics();
  return grown;
}

absl::Status Pod::Grow(absl::Time deadline) {
  ASSIGN_OR_RETURN(PodVm* const vm, ReadyVm());
  ASSIGN_OR_RETURN(const VmTarget target, Target(vm->sizer().limits()));
  const absl::Status grown = GrowTo(target, deadline);
  // Whatever was to be given back is looked at again, after the delay.
  SettleAfter(services_.vm.settings->shrink_delay);
  return grown;
}

absl::Status Pod::UpdateResources(
    const std::optional<ContainerResources>& resources,
    const std::optional<ContainerResources>& overhead, absl::Time deadline) {
  if (!operation_lock_.LockUntil(deadline)) return operation_lock_.Busy();
  const OperationHolder operation(&operation_lock_);
  ASSIGN_OR_RETURN(PodVm* const vm, ReadyVm());
  PodRecord before;
  {
    absl::MutexLock lock(&mutex_);
    before = record_;
    if (resources.has_value()) record_.updated_resources = resources;
    if (overhead.has_value()) record_.updated_overhead = overhead;
  }
  absl::Status updated = CheckPodTotal(vm->sizer().limits());
  if (updated.ok()) updated = Grow(deadline);
  {
    absl::MutexLock lock(&mutex_);
    if (updated.ok()) updated = services_.store->PutPod(record_);
    if (!updated.ok()) {
      record_.updated_resources = before.updated_resources;
      record_.updated_overhead = before.updated_overhead;
    }
  }
  SettleAfter(absl::ZeroDuration());
  return updated;
}

void Pod::SettleAfter(absl::Duration delay) {
  uint64_t generation = 0;
  {
    absl::MutexLock lock(&mutex_);
    generation = ++settle_generation_;
  }
  ScheduleSettle(delay, generation);
}

void Pod::ScheduleSettle(absl::Duration delay, uint64_t generation) {
  services_.timers->Schedule(delay, [weak = weak_from_this(), generation] {
    if (const std::shared_ptr<Pod> pod = weak.lock()) pod->Settle(generation);
  });
}

void Pod::Settle(uint64_t generation) {
  // The timers are everybody's: nothing waits on them for its turn.
  if (!operation_lock_.LockUntil(absl::InfinitePast())) {
    ScheduleSettle(kBusyRetry, generation);
    return;
  }
  const OperationHolder operation(&operation_lock_);
  {
    absl::MutexLock lock(&mutex_);
    if (generation != settle_generation_) return;
  }
  const absl::StatusOr<PodVm*> vm = ReadyVm();
  if (!vm.ok()) return;
  const absl::StatusOr<VmTarget> target = Target((*vm)->sizer().limits());
  absl::Status settled = target.status();
  if (settled.ok()) {
    LowerAccount(target->size);
    settled = (*vm)->sizer().Settle(*target,
                                    services_.vm.clock->Now() + kSettleSlice);
    // Also beside a guest that keeps something.
    settled.Update(PinVcpus(services_.vm.clock->Now() + kSettleSlice));
    settled.Update((*vm)->cgroup().SetCpuLimit(
        HostCpuLimit(RulesOf(*services_.vm.settings, spec_.size), *target)));
    PublishMetrics();
  }
  settled.Update(
      (*vm)->ReleaseUnusedImages(services_.vm.clock->Now() + kSettleSlice));
  if (settled.ok()) {
    settle_backoff_ = absl::ZeroDuration();
    return;
  }
  settle_backoff_ =
      std::clamp(2 * settle_backoff_, kLeastBackoff, kMostBackoff);
  Log(LogLevel::kDebug, "the VM is not yet at its size; trying again",
      {{"sandbox_id", id_.value()},
       {"after", absl::FormatDuration(settle_backoff_)},
       {"reason", settled.message()}});
  SettleAfter(settle_backoff_);
}

}  // namespace podvisor
