#ifndef PODVISOR_SANDBOX_PARTS_POD_ACCOUNTING_H_
#define PODVISOR_SANDBOX_PARTS_POD_ACCOUNTING_H_

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "hotplug/vm_size.h"
#include "sandbox/parts/pod_guest.h"
#include "sandbox/parts/stored_pod.h"
#include "sandbox/parts/wanted_size.h"
#include "sandbox/record/pod_account.h"
#include "sandbox/size/pod_settings.h"

namespace podvisor {

// How a pod keeps to what it is accounted for on its host: accounting_guard.h
// has the rule. Whoever lets the VM grow asks first.
//
// A size stands for a VM of at least that size: what the VM has above it
// counts.
//
// account() is thread-safe; the rest is for whoever holds the pod's operation
// lock. Its own lock is for the account, and no other is taken under it.
class PodAccounting {
 public:
  // Borrows all three.
  PodAccounting(const PodSettings* settings, const StoredPod* pod,
                const PodGuest* guest)
      : settings_(settings), pod_(pod), guest_(guest) {}

  // What the pod was last allowed to use.
  PodAccount account() const ABSL_LOCKS_EXCLUDED(mutex_);

  // The guard: ResourceExhausted where the account is enforced, else a warning,
  // for what a pod of which `totals` are said can use above its account and
  // could not so far.
  absl::Status Allow(const PodTotals& totals, const VmSize& size) const
      ABSL_LOCKS_EXCLUDED(mutex_);
  // The same for a run that nobody waits for; accounts for what it may get,
  // because it may go on when the run is over.
  absl::Status AllowSettling(const PodTotals& totals, const VmSize& size)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // The VM may have this size: after Allow(), and for one that an earlier
  // daemon let grow, by whatever rule it had.
  void Accept(const PodTotals& totals, const VmSize& size)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // The VM comes back to this size; not a worse account than before.
  void Lower(const PodTotals& totals, const VmSize& size)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Takes an Accept() back.
  void Restore(const PodAccount& account) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  absl::StatusOr<PodAccount> Of(const PodTotals& totals,
                                const VmSize& size) const;
  absl::Status Guard(const PodAccount& wanted) const;

  const PodSettings* const settings_;
  const StoredPod* const pod_;
  const PodGuest* const guest_;
  mutable absl::Mutex mutex_;
  PodAccount account_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_PARTS_POD_ACCOUNTING_H_
