#ifndef PODVISOR_SANDBOX_PARTS_WANTED_SIZE_H_
#define PODVISOR_SANDBOX_PARTS_WANTED_SIZE_H_

#include <map>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/ids.h"
#include "sandbox/container/container.h"
#include "sandbox/parts/pod_containers.h"
#include "sandbox/parts/stored_pod.h"
#include "sandbox/size/pod_settings.h"
#include "sandbox/size/pod_sizing.h"

namespace podvisor {

// What is said of a pod as a whole.
struct PodTotals {
  std::optional<ContainerResources> resources;
  std::optional<ContainerResources> overhead;
};

// How large a pod's VM is to be, decided anew each time from what is recorded
// of the pod and its containers. Keeps nothing but what ended containers had,
// for a while: others may come in their place.
//
// Thread-safe. Its lock is for the room that is held; no other is taken under
// it.
class WantedSize {
 public:
  // Borrows all four.
  WantedSize(const PodSettings* settings, const StoredPod* pod,
             const PodContainers* containers, Clock* clock)
      : settings_(settings),
        pod_(pod),
        containers_(containers),
        clock_(clock) {}

  PodTotals Totals() const;
  // InvalidArgument for a pod that a VM without hot plug could never presize.
  absl::Status CheckTotals(const PodTotals& totals,
                           const VmLimits& limits) const;

  // What the size follows from: all that containers want, those that wait for
  // their room included.
  PodSizing Sizing(const VmLimits& limits) const;
  absl::StatusOr<VmTarget> Target(const VmLimits& limits) const;
  // The same without those that wait, but with `asking`, if any.
  PodSizing Granted(const VmLimits& limits, const Container* asking) const;
  // The same with `asking` as if it had `resources`.
  PodSizing GrantedWith(const VmLimits& limits, const Container& asking,
                        const ContainerResources& resources) const;

  // How much CPU time the VM gets on the host: see pod_sizing.h.
  std::optional<int64_t> HostCpus(const VmTarget& target) const;

  // Keeps what a container has, that is about to end, for the shrink delay.
  void Hold(const Container& ending) ABSL_LOCKS_EXCLUDED(mutex_);
  // The same for those that ended under an earlier daemon, not long ago.
  void HoldEnded() ABSL_LOCKS_EXCLUDED(mutex_);
  // The target with what is still held; forgets the rest.
  absl::StatusOr<VmTarget> HeldTarget(const VmLimits& limits)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // How long until the next of it is given up; infinite where nothing is held.
  absl::Duration NextRelease() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct HeldRoom {
    ContainerResources resources;
    absl::Duration until;  // of Clock::Elapsed()
  };

  PodTotalUse TotalUse(bool any_counts) const;

  const PodSettings* const settings_;
  const StoredPod* const pod_;
  const PodContainers* const containers_;
  Clock* const clock_;
  mutable absl::Mutex mutex_;
  std::map<ContainerId, HeldRoom> held_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_PARTS_WANTED_SIZE_H_
