#ifndef PODVISOR_SANDBOX_POD_H_
#define PODVISOR_SANDBOX_POD_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/ids.h"
#include "base/timer_queue.h"
#include "sandbox/container_ends.h"
#include "sandbox/container_eraser.h"
#include "sandbox/network_membership.h"
#include "sandbox/operation_lock.h"
#include "sandbox/owned_timers.h"
#include "sandbox/pod_accounting.h"
#include "sandbox/pod_containers.h"
#include "sandbox/pod_event_feed.h"
#include "sandbox/pod_guest.h"
#include "sandbox/pod_news.h"
#include "sandbox/pod_output.h"
#include "sandbox/pod_sampler.h"
#include "sandbox/pod_sizing.h"
#include "sandbox/pod_snapshot.h"
#include "sandbox/settle_timer.h"
#include "sandbox/state_store.h"
#include "sandbox/stored_pod.h"
#include "sandbox/wanted_size.h"

namespace podvisor {

// All borrowed; all outlive the pods.
struct PodServices {
  PodVmServices vm;
  StateStore* store = nullptr;
  ImageStore* images = nullptr;
  TimerQueue* timers = nullptr;     // for what takes a moment
  TimerQueue* clean_ups = nullptr;  // for what may take half a minute
  PodEventFeed* events = nullptr;
};

// One pod: its state, its VM while it has one, its containers.
//
// The record is written before each effect and after it. The destructor lets
// go: the VM runs on for the next daemon.
//
// Held by shared_ptr because a call that still works on a pod may overlap its
// removal, and because timers hold it weakly.
//
// Thread-safe. Two locks: the operation lock, held while the VM changes, and
// the data lock, which every reader takes and nobody holds across I/O (but the
// store's). Order: a container's operation lock, the pod's, the data locks.
class Pod : public std::enable_shared_from_this<Pod> {
 public:
  // `record` is in the store already.
  Pod(const PodServices& services, PodRecord record);
  ~Pod();

  const PodId& id() const { return stored_.id(); }
  const PodServices& services() const { return services_; }

  PodSnapshot Snapshot() const ABSL_LOCKS_EXCLUDED(mutex_);
  SandboxState state() const { return stored_.state(); }
  // Nothing unless the pod is kReady.
  std::optional<ObservedSizing> Sizing() const ABSL_LOCKS_EXCLUDED(mutex_);
  const PodSpec& spec() const { return stored_.spec(); }

  // Boots the VM: kCreating to kReady; with presize it has then what the pod
  // asks for. After an error the pod is kStopped, nothing of it is left on the
  // host, and it is to be forgotten; or it is kStopping, and Stop() has to end
  // what could not be ended. ResourceExhausted, besides the errors of
  // PodVm::Boot(): the VM cannot grow; names what ran out.
  absl::Status Boot(uid_t uid, absl::Time deadline);

  // For a pod that an earlier daemon left: takes over what is alive and ends
  // what is not, so that the state is a true one afterwards. A VM whose guest
  // does not answer is taken over as well: its calls are Unavailable until it
  // does. False for a pod that never was ready: nothing of it is left and it is
  // to be forgotten.
  bool Recover(absl::Time deadline);

  // Ends the containers and the VM, and with them a call that still waits for
  // the guest. OK when they are gone already. After an error the pod is
  // kStopping and a later call goes on.
  absl::Status Stop(absl::Time deadline);

  // Removes the pod's records after a Stop().
  absl::Status Forget();

  // --- Containers.

  PodContainers& containers() { return containers_; }
  PodGuest& guest() { return guest_; }
  PodOutput& output() { return output_; }
  SettleTimer& settle() { return settle_; }
  PodSampler& sampler() { return sampler_; }
  ContainerEraser& eraser() { return eraser_; }
  ContainerEnds& ends() { return ends_; }
  PodNews& news() { return news_; }

  // --- The VM, for ContainerLifecycle.

  OperationLock& operation_lock() ABSL_LOCK_RETURNED(operation_lock_) {
    return operation_lock_;
  }
  // Whether the CPUs that `asking` is to have are there once the VM has grown
  // for it. Errors: CheckCpuset() of cpuset.h.
  absl::Status CheckCpusetOf(const Container& asking,
                             const ContainerResources& wanted) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(operation_lock_);
  // Makes the VM at least as large as all containers want it now, those that
  // wait for their turn included: they find their room there. Where that is
  // more than there is, at least as large as it was to be without them and with
  // `asking`, if any. Keeps its vCPUs where they want them on the host. Errors:
  // those of VmResizer::Grow(), of the cgroup, and of Vm::PinVcpus().
  absl::Status Grow(const Container* asking, absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(operation_lock_);
  // Looks whether the VM is as large as its containers want it, and makes it so
  // where it is not.
  absl::Status VerifySize(absl::Time deadline)
      ABSL_LOCKS_EXCLUDED(operation_lock_, mutex_);
  // Replaces what was given for the whole pod; what is absent stays. The VM
  // grows first; after an error all is as it was. Errors: FailedPrecondition
  // unless the pod is kReady, those of Grow(), and the store's.
  absl::Status UpdateResources(
      const std::optional<ContainerResources>& resources,
      const std::optional<ContainerResources>& overhead, absl::Time deadline)
      ABSL_LOCKS_EXCLUDED(operation_lock_, mutex_);

 private:
  VmRecorder Recorder();
  absl::Status BootVm(uid_t uid, absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(operation_lock_);
  absl::Status PinVcpus(absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(operation_lock_);
  // As Grow(), for a pod of which `totals` are said.
  absl::Status GrowWithin(const PodTotals& totals, const Container* asking,
                          absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(operation_lock_);
  // To `target`, or where that cannot be had, or not in half of the time, to
  // `least`.
  absl::Status GrowTo(const PodTotals& totals, const VmTarget& target,
                      const VmTarget& least, absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(operation_lock_);
  // Warns of a target that is less than the containers ask for.
  void LogCuts(const VmTarget& target) const;
  void Settle();
  // One attempt, which goes on from what is there; Settle() tries again.
  // `target` is set before anything fails but the computing of it.
  absl::Status TryToSettle(PodVm& vm, VmTarget& target)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(operation_lock_);
  // For a run that found the operation lock taken: a little later, and once it
  // was kept out for the shrink delay, as soon as the lock is given back.
  void ComeAgain() ABSL_LOCKS_EXCLUDED(operation_lock_, mutex_);
  // Whether to let somebody else have the operation lock who is to grow the VM.
  bool MustYield();
  // How long after an attempt there is something to do again.
  absl::Duration NextSettle(const absl::Status& settled, const VmSize& target)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Gives containers' cgroups, where it is not known what they have, what they
  // are to have.
  absl::Status RestoreCgroups(absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(operation_lock_);
  // The same for one that may have what was `tried`. Where that fails, its
  // status is to show what the guest says that it has.
  absl::Status RestoreCgroup(Container& container,
                             const ContainerResources& tried, GuestAgent& agent,
                             absl::Time deadline);
  void WatchVm() ABSL_EXCLUSIVE_LOCKS_REQUIRED(operation_lock_);
  void OnVmExit(const VmExit& exit);
  // Of a pod whose VM has ended.
  void ClearAwayAfter(absl::Duration delay);
  // Makes whoever waits for the guest give up.
  void AbortOperation(absl::Time deadline) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status AdoptVm(absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(operation_lock_);
  void AdoptImage(const Container& container)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(operation_lock_);
  // Of a pod whose VM cannot be adopted.
  void EndLost(SandboxState found, const absl::Status& reason,
               absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(operation_lock_);
  // Takes up with the guest of an adopted VM; tries again after `backoff` when
  // it does not answer, so that no container stays without a reader.
  void MeetGuest(absl::Duration backoff, absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(operation_lock_);
  void MeetGuestAfter(absl::Duration delay);
  absl::Status RecoverGuest(absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(operation_lock_);
  void RecoverContainer(
      Container& container,
      std::optional<agent::v1::ContainerState::State> in_guest)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(operation_lock_);
  absl::Status TearDown(absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(operation_lock_);

  const PodServices services_;
  StoredPod stored_;
  PodContainers containers_;
  PodGuest guest_{&stored_};
  NetworkMembership network_;
  PodOutput output_;
  const OwnedTimers timers_;
  const OwnedTimers clean_ups_;
  SettleTimer settle_;
  WantedSize wanted_;
  PodAccounting accounting_;
  PodSampler sampler_;
  ContainerEraser eraser_;
  PodNews news_;
  ContainerEnds ends_;

  OperationLock operation_lock_;
  mutable absl::Mutex mutex_ ABSL_ACQUIRED_AFTER(operation_lock_);
  // Why the last run could not restore a cgroup, or may not grow the VM; empty
  // where neither was so.
  std::string run_error_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_POD_H_
