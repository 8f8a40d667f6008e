#include "sandbox/parts/settle_loop.h"

#include <algorithm>
#include <optional>

#include "base/clean_text.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "sandbox/parts/cgroup_restore.h"

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

void SettleLoop::Run() {
  if (!parts_.operation_lock->TryLockInTurn()) {
    ComeAgain();
    return;
  }
  const OperationHolder operation(parts_.operation_lock);
  const absl::StatusOr<PodVm*> vm = parts_.guest->ReadyVm();
  if (!vm.ok()) return;
  if (MustYield()) {
    parts_.settle->After(kYield);
    return;
  }
  VmTarget target;
  const absl::Status settled = TryToSettle(**vm, target);
  parts_.sampler->Publish();
  const absl::Duration again = Next(settled, **vm, target.size);
  if (!settled.ok()) {
    Log(LogLevel::kDebug, "the VM is not yet at its size; trying again",
        {{"sandbox_id", parts_.pod->id().value()},
         {"after", absl::FormatDuration(again)},
         {"reason", settled.message()}});
  }
  if (again != absl::InfiniteDuration()) parts_.settle->After(again);
}

// The timers are everybody's: nothing waits on them for its turn.
void SettleLoop::ComeAgain() {
  if (parts_.settle->MayYield(parts_.settings->shrink_delay)) {
    parts_.settle->After(kBusyRetry);
    return;
  }
  parts_.operation_lock->AskForTurn(parts_.timers->WhileOwned(
      [this] { parts_.settle->After(absl::ZeroDuration()); }));
}

bool SettleLoop::MustYield() {
  const auto all = parts_.containers->All();
  const bool awaited = std::any_of(
      all.begin(), all.end(),
      [](const auto& container) { return container->IsChanging(); });
  return awaited && parts_.settle->MayYield(parts_.settings->shrink_delay);
}

absl::Duration SettleLoop::Next(const absl::Status& settled, PodVm& vm,
                                const VmSize& target) {
  absl::Duration next = absl::InfiniteDuration();
  if (settled.ok()) {
    parts_.settle->Reached();
  } else {
    const VmSizes has = vm.sizer().sizes();
    next = parts_.settle->Missed(target,
                                 {has.online_vcpus, has.online_memory_bytes});
  }
  return std::min(next, parts_.wanted->NextRelease());
}

absl::Status SettleLoop::TryToSettle(PodVm& vm, VmTarget& target) {
  const auto soon = [this] { return parts_.clock->Now() + kSettleSlice; };
  // First the cgroups, then the VM, which has room for what a cgroup that could
  // not be restored may have: the rest of the pod does not wait for it.
  const absl::Status restored = RestoreCgroups(
      *parts_.containers, vm.vm().agent(), parts_.settings->cpuset, soon());
  ASSIGN_OR_RETURN(target, parts_.wanted->Target(vm.sizer().limits()));
  ASSIGN_OR_RETURN(const VmTarget held,
                   parts_.wanted->HeldTarget(vm.sizer().limits()));
  const std::optional<int64_t> host_cpus = parts_.wanted->HostCpus(target);
  // A new configuration may want a larger VM than the last one did.
  absl::Status may_grow =
      parts_.accounting->AllowSettling(parts_.wanted->Totals(), target.size);
  if (may_grow.ok()) may_grow = vm.cgroup().RaiseCpuLimit(host_cpus);
  absl::Status error = restored;
  error.Update(may_grow);
  {
    absl::MutexLock lock(&mutex_);
    last_error_ = CleanText(error.message(), 1024);
  }
  absl::Status settled =
      vm.sizer().Settle(target, held.size, may_grow.ok(), soon());
  parts_.accounting->Lower(parts_.wanted->Totals(), held.size);
  settled.Update(vm.cgroup().SetCpuLimit(host_cpus));
  settled.Update(error);
  // Also beside a guest that keeps something.
  settled.Update(parts_.resizer->PinVcpus(nullptr, soon()));
  settled.Update(parts_.eraser->EraseAbandoned(soon()));
  settled.Update(vm.ReleaseUnusedImages(soon()));
  return settled;
}

std::string SettleLoop::last_error() const {
  absl::MutexLock lock(&mutex_);
  return last_error_;
}

}  // namespace podvisor
