// How a pod keeps to what it is accounted for on its host: accounting_guard.h
// has the rule.

#include "base/log.h"
#include "base/status_macros.h"
#include "sandbox/accounting_guard.h"
#include "sandbox/pod.h"

namespace podvisor {

absl::StatusOr<PodAccount> Pod::AccountOf(const VmSize& size) const {
  std::optional<ContainerResources> total;
  std::optional<ContainerResources> overhead;
  {
    absl::MutexLock lock(&mutex_);
    total = PodTotalLocked();
    overhead = record_.updated_overhead.has_value() ? record_.updated_overhead
                                                    : spec_.overhead;
  }
  return AccountFor(total, overhead, size,
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
      {{"sandbox_id", id_.value()}, {"reason", status.message()}});
  return absl::OkStatus();
}

void Pod::AcceptAccount() {
  const absl::StatusOr<VmTarget> target = Target(vm_->sizer().limits());
  if (!target.ok()) return;
  const absl::StatusOr<PodAccount> account = AccountOf(target->size);
  if (account.ok()) SetAccount(*account);
}

void Pod::LowerAccount(const VmSize& size) {
  const absl::StatusOr<PodAccount> account = AccountOf(size);
  if (!account.ok()) return;
  absl::MutexLock lock(&mutex_);
  if (CheckAccount(*account, account_).ok()) account_ = *account;
}

void Pod::SetAccount(const PodAccount& account) {
  absl::MutexLock lock(&mutex_);
  account_ = account;
}

}  // namespace podvisor
