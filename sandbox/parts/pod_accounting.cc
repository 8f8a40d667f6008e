#include "sandbox/parts/pod_accounting.h"

#include "base/log.h"
#include "base/status_macros.h"
#include "sandbox/size/accounting_guard.h"

namespace podvisor {

PodAccount PodAccounting::account() const {
  absl::MutexLock lock(&mutex_);
  return account_;
}

absl::StatusOr<PodAccount> PodAccounting::Of(const PodTotals& totals,
                                             const VmSize& size) const {
  VmSize usable = size;
  if (PodVm* const vm = guest_->vm()) {
    const PodSizer& sizer = vm->sizer();
    usable = UsableSize(sizer.limits(), sizer.observed(), size);
  }
  return AccountFor(totals.resources, totals.overhead, usable,
                    settings_->vm.accelerator);
}

absl::Status PodAccounting::Guard(const PodAccount& wanted) const {
  const absl::Status status = CheckAccount(wanted, account());
  if (status.ok() || settings_->accounting_guard == AccountingGuard::kEnforce) {
    return status;
  }
  Log(LogLevel::kWarning, "the host may kill this VM for want of memory",
      {{"sandbox_id", pod_->id().value()}, {"reason", status.message()}});
  return absl::OkStatus();
}

absl::Status PodAccounting::Allow(const PodTotals& totals,
                                  const VmSize& size) const {
  ASSIGN_OR_RETURN(const PodAccount wanted, Of(totals, size));
  return Guard(wanted);
}

absl::Status PodAccounting::AllowSettling(const PodTotals& totals,
                                          const VmSize& size) {
  ASSIGN_OR_RETURN(const PodAccount wanted, Of(totals, size));
  RETURN_IF_ERROR(Guard(wanted));
  absl::MutexLock lock(&mutex_);
  if (!CheckAccount(wanted, account_).ok()) account_ = wanted;
  return absl::OkStatus();
}

void PodAccounting::Accept(const PodTotals& totals, const VmSize& size) {
  const absl::StatusOr<PodAccount> account = Of(totals, size);
  if (account.ok()) Restore(*account);
}

void PodAccounting::Lower(const PodTotals& totals, const VmSize& size) {
  const absl::StatusOr<PodAccount> account = Of(totals, size);
  if (!account.ok()) return;
  absl::MutexLock lock(&mutex_);
  if (CheckAccount(*account, account_).ok()) account_ = *account;
}

void PodAccounting::Restore(const PodAccount& account) {
  absl::MutexLock lock(&mutex_);
  account_ = account;
}

}  // namespace podvisor
