// How a pod keeps to what it is accounted for on its host: accounting_guard.h
// has the rule.

#include "base/log.h"
#include "base/status_macros.h"
#include "sandbox/accounting_guard.h"
#include "sandbox/pod.h"

namespace podvisor {

absl::StatusOr<PodAccount> Pod::AccountOf(const PodTotals& totals,
                                          const VmSize& target) const {
  VmSize usable = target;
  if (PodVm* const vm = guest_.vm()) {
    const PodSizer& sizer = vm->sizer();
    usable = UsableSize(sizer.limits(), sizer.observed(), target);
  }
  return AccountFor(totals.resources, totals.overhead, usable,
                    services_.vm.settings->vm.accelerator);
}

absl::Status Pod::Guard(const PodAccount& account) const {
  PodAccount accepted;
  {
    absl::MutexLock lock(&mutex_);
    accepted = account_;
  }
  const absl::Status status = CheckAccount(account, accepted);
  if (status.ok() ||
      services_.vm.settings->accounting_guard == AccountingGuard::kEnforce) {
    return status;
  }
  Log(LogLevel::kWarning, "the host may kill this VM for want of memory",
      {{"sandbox_id", id().value()}, {"reason", status.message()}});
  return absl::OkStatus();
}

absl::Status Pod::AllowSize(const PodTotals& totals, const VmSize& target) {
  ASSIGN_OR_RETURN(const PodAccount account, AccountOf(totals, target));
  return Guard(account);
}

absl::Status Pod::AllowSettling(const VmSize& target) {
  ASSIGN_OR_RETURN(const PodAccount account,
                   AccountOf(wanted_.Totals(), target));
  RETURN_IF_ERROR(Guard(account));
  absl::MutexLock lock(&mutex_);
  // Before it grows: it may go on when the run is over.
  if (!CheckAccount(account, account_).ok()) account_ = account;
  return absl::OkStatus();
}

void Pod::AcceptAccount(const VmSize& size) {
  const absl::StatusOr<PodAccount> account = AccountOf(wanted_.Totals(), size);
  if (account.ok()) SetAccount(*account);
}

void Pod::LowerAccount(const VmSize& size) {
  const absl::StatusOr<PodAccount> account = AccountOf(wanted_.Totals(), size);
  if (!account.ok()) return;
  absl::MutexLock lock(&mutex_);
  if (CheckAccount(*account, account_).ok()) account_ = *account;
}

void Pod::SetAccount(const PodAccount& account) {
  absl::MutexLock lock(&mutex_);
  account_ = account;
}

}  // namespace podvisor
