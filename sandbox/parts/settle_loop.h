#ifndef PODVISOR_SANDBOX_PARTS_SETTLE_LOOP_H_
#define PODVISOR_SANDBOX_PARTS_SETTLE_LOOP_H_

#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "sandbox/container/operation_lock.h"
#include "sandbox/parts/container_eraser.h"
#include "sandbox/parts/owned_timers.h"
#include "sandbox/parts/pod_accounting.h"
#include "sandbox/parts/pod_containers.h"
#include "sandbox/parts/pod_guest.h"
#include "sandbox/parts/pod_resizer.h"
#include "sandbox/parts/pod_sampler.h"
#include "sandbox/parts/settle_timer.h"
#include "sandbox/parts/stored_pod.h"
#include "sandbox/parts/wanted_size.h"
#include "sandbox/size/pod_settings.h"

namespace podvisor {

// What a SettleLoop works on; all borrowed.
struct SettleLoopParts {
  Clock* clock = nullptr;
  const PodSettings* settings = nullptr;
  const OwnedTimers* timers = nullptr;
  OperationLock* operation_lock = nullptr;
  const StoredPod* pod = nullptr;
  const PodContainers* containers = nullptr;
  const PodGuest* guest = nullptr;
  WantedSize* wanted = nullptr;
  PodAccounting* accounting = nullptr;
  PodSampler* sampler = nullptr;
  SettleTimer* settle = nullptr;
  PodResizer* resizer = nullptr;
  ContainerEraser* eraser = nullptr;
};

// How a pod's VM follows what the pod's containers ask for: one loop for each
// pod, which compares wanted with observed and may run at any time. Nobody
// waits for it.
//
// Thread-safe. It takes the pod's operation lock, and waits for nobody who has
// it. Its own lock is for the last error, and no other is taken under it.
class SettleLoop {
 public:
  explicit SettleLoop(const SettleLoopParts& parts) : parts_(parts) {}

  // One run, when the SettleTimer says so; asks it for the next.
  void Run();

  // Why the last run could not restore a cgroup, or may not grow the VM; empty
  // where neither was so.
  std::string last_error() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // One attempt, which goes on from what is there; Run() tries again. `target`
  // is set before anything fails but the computing of it.
  absl::Status TryToSettle(PodVm& vm, VmTarget& target)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // For a run that found the operation lock taken: a little later, and once it
  // was kept out for the shrink delay, as soon as the lock is given back.
  void ComeAgain();
  // Whether to let somebody else have the operation lock who is to grow the VM.
  bool MustYield();
  // How long after an attempt there is something to do again.
  absl::Duration Next(const absl::Status& settled, PodVm& vm,
                      const VmSize& target);

  const SettleLoopParts parts_;
  mutable absl::Mutex mutex_;
  std::string last_error_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_PARTS_SETTLE_LOOP_H_
