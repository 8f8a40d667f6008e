#ifndef PODVISOR_SANDBOX_PARTS_POD_SAMPLER_H_
#define PODVISOR_SANDBOX_PARTS_POD_SAMPLER_H_

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "metrics/pod_metrics.h"
#include "metrics/vm_snapshot.h"
#include "sandbox/container/operation_lock.h"
#include "sandbox/parts/cpu_time.h"
#include "sandbox/parts/disk_traffic.h"
#include "sandbox/parts/owned_timers.h"
#include "sandbox/parts/pod_accounting.h"
#include "sandbox/parts/pod_containers.h"
#include "sandbox/parts/pod_guest.h"
#include "sandbox/parts/sample_turn.h"
#include "sandbox/parts/settle_timer.h"
#include "sandbox/parts/stored_pod.h"
#include "sandbox/parts/wanted_size.h"
#include "sandbox/record/pod_snapshot.h"
#include "sandbox/size/pod_settings.h"

namespace podvisor {

// What a PodSampler looks at; all borrowed.
struct PodSamplerParts {
  Clock* clock = nullptr;
  PodMetrics* metrics = nullptr;
  const PodSettings* settings = nullptr;
  const OwnedTimers* timers = nullptr;
  const StoredPod* pod = nullptr;
  const PodContainers* containers = nullptr;
  const PodGuest* guest = nullptr;
  const WantedSize* wanted = nullptr;
  const PodAccounting* accounting = nullptr;
  SettleTimer* settle = nullptr;
};

// Asks the guest and the host now and then what the pod uses, and shows it: to
// the containers, in usage(), and as the pod's row in the metrics.
//
// Thread-safe; waits for no operation on the pod.
class PodSampler {
 public:
  explicit PodSampler(const PodSamplerParts& parts) : parts_(parts) {}

  // Has samples taken from `delay` on, as long as the pod is ready.
  void Begin(absl::Duration delay);

  // Takes a sample of the guest, and of what it really has: when the one that
  // is being taken is done. Errors: PodGuest::ReadyAgent()'s and the agent's;
  // DeadlineExceeded, also while another is being taken.
  absl::Status Sample(absl::Time deadline)
      ABSL_LOCKS_EXCLUDED(sampling_, mutex_);
  // Has a sample of the guest taken now, without waiting for it, unless the
  // last one is not older than `age` or the guest has just failed to give one.
  void SampleIfOlderThan(absl::Duration age) ABSL_LOCKS_EXCLUDED(mutex_);

  // Of the pod as a whole, as last sampled.
  PodUsage usage() const ABSL_LOCKS_EXCLUDED(mutex_);

  // Shows the sizes as they are now, and the last sample, to the metrics.
  void Publish() ABSL_LOCKS_EXCLUDED(row_mutex_, mutex_);
  // Takes the row away for good: a pod that ends is not to come back.
  void Withdraw() ABSL_LOCKS_EXCLUDED(row_mutex_);

 private:
  void TakeSample() ABSL_LOCKS_EXCLUDED(sampling_, mutex_);

  const PodSamplerParts parts_;

  // Held from the first question until the answers are stored, so that no
  // older sample comes after a newer one. Before the other two.
  OperationLock sampling_{"the pod's sampler"};
  DiskTraffic disk_traffic_ ABSL_GUARDED_BY(sampling_);
  CpuTime cpu_time_ ABSL_GUARDED_BY(sampling_);

  // Held while the row is put together and shown, so that rows come in order.
  // Before the locks of all parts that it looks at.
  absl::Mutex row_mutex_;
  bool withdrawn_ ABSL_GUARDED_BY(row_mutex_) = false;

  mutable absl::Mutex mutex_ ABSL_ACQUIRED_AFTER(row_mutex_);
  VmSnapshot sample_ ABSL_GUARDED_BY(mutex_);
  // When it was taken, by Clock::Elapsed().
  absl::Duration sampled_ ABSL_GUARDED_BY(mutex_) = -absl::InfiniteDuration();
  PodUsage usage_ ABSL_GUARDED_BY(mutex_);
  SampleTurn turn_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_PARTS_POD_SAMPLER_H_
