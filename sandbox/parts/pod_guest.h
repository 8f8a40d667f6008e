#ifndef PODVISOR_SANDBOX_PARTS_POD_GUEST_H_
#define PODVISOR_SANDBOX_PARTS_POD_GUEST_H_

#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "guestagent/agent.pb.h"
#include "guestagent/client/guest_agent.h"
#include "sandbox/parts/pod_vm.h"
#include "sandbox/parts/stored_pod.h"

namespace podvisor {

// The VM of a pod and the guest in it: whether there is one, and whether it
// answers this daemon. The way to either for all who work on the pod.
//
// Thread-safe. Its lock is held for moments, and no other is taken under it.
// What it gives stays valid, also after the VM has ended, until it goes itself;
// what a PodVm allows to whom, its own header says.
class PodGuest {
 public:
  // Borrows `pod`.
  explicit PodGuest(const StoredPod* pod) : pod_(pod) {}

  // Once. `answers`: OK, or why its guest cannot be used yet.
  void SetVm(std::unique_ptr<PodVm> vm, absl::Status answers)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void SetAnswers(absl::Status answers) ABSL_LOCKS_EXCLUDED(mutex_);
  void SetHello(agent::v1::HelloResponse hello) ABSL_LOCKS_EXCLUDED(mutex_);

  // Null before SetVm(), which comes before the pod is ready.
  PodVm* vm() const ABSL_LOCKS_EXCLUDED(mutex_);
  agent::v1::HelloResponse hello() const ABSL_LOCKS_EXCLUDED(mutex_);

  // Unavailable while the guest has not answered this daemon yet.
  absl::Status CheckAnswers() const ABSL_LOCKS_EXCLUDED(mutex_);
  // FailedPrecondition, naming the state, unless the pod is kReady, besides
  // CheckAnswers().
  absl::Status CheckReady() const ABSL_LOCKS_EXCLUDED(mutex_);
  // The same, with what it is good for.
  absl::StatusOr<PodVm*> ReadyVm() const ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<GuestAgent*> ReadyAgent() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  const StoredPod* const pod_;
  mutable absl::Mutex mutex_;
  std::unique_ptr<PodVm> vm_ ABSL_GUARDED_BY(mutex_);
  absl::Status answers_ ABSL_GUARDED_BY(mutex_);
  agent::v1::HelloResponse hello_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_PARTS_POD_GUEST_H_
