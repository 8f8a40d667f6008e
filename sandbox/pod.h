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
#include "metrics/vm_snapshot.h"
#include "sandbox/container.h"
#include "sandbox/disk_traffic.h"
#include "sandbox/exit_watcher.h"
#include "sandbox/operation_lock.h"
#include "sandbox/pod_account.h"
#include "sandbox/pod_event.h"
#include "sandbox/pod_event_feed.h"
#include "sandbox/pod_record.h"
#include "sandbox/pod_sizing.h"
#include "sandbox/pod_snapshot.h"
#include "sandbox/pod_vm.h"
#include "sandbox/sample_turn.h"
#include "sandbox/settle_schedule.h"
#include "sandbox/state_store.h"

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

  const PodId& id() const { return id_; }
  const PodServices& services() const { return services_; }

  PodSnapshot Snapshot() const ABSL_LOCKS_EXCLUDED(mutex_);
  SandboxState state() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Nothing unless the pod is kReady.
  std::optional<ObservedSizing> Sizing() const ABSL_LOCKS_EXCLUDED(mutex_);
  const PodSpec& spec() const { return spec_; }

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

  absl::Status AddContainer(std::shared_ptr<Container> container)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void DropContainer(const ContainerId& id) ABSL_LOCKS_EXCLUDED(mutex_);
  // To be called before the record of a container that was created is removed:
  // a later daemon must know that there was one.
  absl::Status RememberContainers() ABSL_LOCKS_EXCLUDED(mutex_);
  std::shared_ptr<Container> FindContainer(const ContainerId& id) const
      ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<std::shared_ptr<Container>> containers() const
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Tells the feed what has happened to the pod and its containers since the
  // last time; to be called after anything that a client could see. `removed`:
  // the pod is gone.
  void TellEvents(bool removed = false)
      ABSL_LOCKS_EXCLUDED(told_mutex_, mutex_);
  // After Recover(): what it found is no news.
  void BeginEvents() ABSL_LOCKS_EXCLUDED(told_mutex_, mutex_);

  // --- The VM, for ContainerLifecycle.

  OperationLock& operation_lock() ABSL_LOCK_RETURNED(operation_lock_) {
    return operation_lock_;
  }
  // FailedPrecondition, naming the state, unless the pod is kReady; Unavailable
  // while the guest has not answered this daemon yet.
  absl::StatusOr<PodVm*> ReadyVm()
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(operation_lock_);
  // The agent of a ready pod, without waiting for operations; errors as above.
  // Valid as long as the pod object lives.
  absl::StatusOr<GuestAgent*> ReadyAgent() ABSL_LOCKS_EXCLUDED(mutex_);

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
  // Has the VM brought to the size that its containers want then, after `delay`
  // at the latest.
  void SettleAfter(absl::Duration delay) ABSL_LOCKS_EXCLUDED(mutex_);
  // The end of a container, by `event` and with `change` as Transition() has
  // them: what it had is kept for the shrink delay, for the one that may come
  // in its place, and then the VM settles. Errors: Transition()'s.
  absl::Status RecordEnd(Container& container, ContainerEvent event,
                         const std::function<void(ContainerRecord&)>& change)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Takes away everything of a container: in the guest, of the VM, in the
  // store. Does no harm twice. Errors: the agent's and the store's; Unavailable
  // while the guest has not answered this daemon yet.
  absl::Status Erase(const Container& container, absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(operation_lock_);
  // Of a container that never came to be: drops it at once and erases it, with
  // each settling again until that succeeds.
  void Abandon(std::shared_ptr<Container> container)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(operation_lock_);

  // Replaces what was given for the whole pod; what is absent stays. The VM
  // grows first; after an error all is as it was. Errors: FailedPrecondition
  // unless the pod is kReady, those of Grow(), and the store's.
  absl::Status UpdateResources(
      const std::optional<ContainerResources>& resources,
      const std::optional<ContainerResources>& overhead, absl::Time deadline)
      ABSL_LOCKS_EXCLUDED(operation_lock_, mutex_);

  // Takes a sample of the guest now, and of what it really has. Errors: the
  // agent's.
  absl::Status Sample(absl::Time deadline) ABSL_LOCKS_EXCLUDED(mutex_);

  // Has a sample of the guest taken now, without waiting for it, unless the
  // last one is not older than `age` or the guest has just failed to give one.
  void SampleIfOlderThan(absl::Duration age) ABSL_LOCKS_EXCLUDED(mutex_);

  // Where `container`'s output goes; empty for none.
  std::string LogPathOf(const ContainerSpec& container) const;
  // Begins to collect the container's output, or goes on where an earlier
  // daemon was. Errors: the log file's. Needs the VM, so not before Boot().
  absl::Status StartPump(Container& container);
  // For a container that is gone from the guest: drops the pump and what it
  // kept beside the log. Waits for half a second at most.
  void EndPump(Container& container);

 private:
  absl::Status Transition(SandboxEvent event,
                          const std::function<void(PodRecord&)>& change)
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status CheckReady() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  VmRecorder Recorder();
  NetworkRecorder RecorderOfNetwork();
  absl::Status BootVm(uid_t uid, absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(operation_lock_);
  // What is said of the pod as a whole.
  struct PodTotals {
    std::optional<ContainerResources> resources;
    std::optional<ContainerResources> overhead;
  };
  PodTotals TotalsLocked() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  PodTotals Totals() const ABSL_LOCKS_EXCLUDED(mutex_);
  // InvalidArgument for a pod that a VM without hot plug could never presize.
  absl::Status CheckTotals(const PodTotals& totals,
                           const VmLimits& limits) const;
  PodTotalUse TotalUseLocked(bool any_counts) const
      ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  // What the VM's size follows from; how large it is to be; and is.
  PodSizing SizingLocked(const VmLimits& limits) const
      ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<VmTarget> Target(const VmLimits& limits) const
      ABSL_LOCKS_EXCLUDED(mutex_);
  VmSizes SizesLocked() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  // What the pod would be accounted for and could use with a VM of at least
  // this size; what the VM has above it counts.
  absl::StatusOr<PodAccount> AccountOf(const PodTotals& totals,
                                       const VmSize& target) const;
  // The accounting guard: ResourceExhausted where the account is enforced, else
  // a warning, for what the pod can use above its account and could not so far.
  absl::Status Guard(const PodAccount& account) const
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Guard() for a VM that is to have at least this size.
  absl::Status AllowSize(const PodTotals& totals, const VmSize& target)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(operation_lock_);
  // The same for a run that nobody waits for; accounts for what it may get.
  absl::Status AllowSettling(const VmSize& target)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(operation_lock_);
  void SetAccount(const PodAccount& account) ABSL_LOCKS_EXCLUDED(mutex_);
  // For a VM of this size or larger that an earlier daemon let grow, by
  // whatever rule it had.
  void AcceptAccount(const VmSize& size)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(operation_lock_);
  // For a VM that comes back to this size; not a worse one than before.
  void LowerAccount(const VmSize& size)
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
  // What the size follows from without those that wait for their room, but with
  // `asking`, if any.
  PodSizing GrantedSizingLocked(const Container* asking) const
      ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  // What an earlier daemon was creating when it died.
  void AbandonCreatingLocked()
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(operation_lock_, mutex_);
  // The run that was asked for at that time.
  void Settle(absl::Time at);
  // One attempt, which goes on from what is there; Settle() tries again.
  // `target` is set before anything fails but the computing of it.
  absl::Status TryToSettle(PodVm& vm, VmTarget& target)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(operation_lock_);
  // Of containers that ended under an earlier daemon, not long ago.
  void HoldEndedLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The target with what is still held for ended containers; forgets the rest.
  absl::StatusOr<VmTarget> HeldTarget(absl::Time now)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // For a run that found the operation lock taken: a little later, and once it
  // was kept out for the shrink delay, as soon as the lock is given back.
  void ComeAgain() ABSL_LOCKS_EXCLUDED(operation_lock_, mutex_);
  // Whether to let somebody else have the operation lock who is to grow the VM.
  bool MustYield(absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_);
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
  absl::Status EraseAbandoned(absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(operation_lock_);
  // The end of the VM, and that of its containers.
  void WatchVm() ABSL_EXCLUSIVE_LOCKS_REQUIRED(operation_lock_);
  void WatchExits() ABSL_EXCLUSIVE_LOCKS_REQUIRED(operation_lock_);
  void StopWatching() ABSL_EXCLUSIVE_LOCKS_REQUIRED(operation_lock_);
  void OnExit(const agent::v1::ContainerExit& exit);
  void OnVmExit(const VmExit& exit);
  // Of a pod whose VM has ended.
  void ClearAwayAfter(absl::Duration delay);
  // Writes what the log holds back of lines that nobody will end any more.
  void AbandonOutput() ABSL_EXCLUSIVE_LOCKS_REQUIRED(operation_lock_);
  void KillContainers(absl::Time deadline);
  // Makes whoever waits for the guest give up.
  void AbortOperation(absl::Time deadline) ABSL_LOCKS_EXCLUDED(mutex_);
  void EndContainers(int exit_code, absl::string_view reason,
                     absl::string_view message);
  absl::Status AdoptVm(absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(operation_lock_);
  void CheckNetwork(absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(operation_lock_);
  void AdoptImages(const Container& container)
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
  void ContinueOutput(Container& container)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(operation_lock_);
  absl::Status TearDown(absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(operation_lock_);
  // After some minutes of errors it gives up: the pod ends, and what plugins
  // keep outside of the namespace is tried once more at LeaveNetworkAtLast().
  enum class Leaving { kLeft, kGivenUp };
  absl::StatusOr<Leaving> LeaveNetwork(absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(operation_lock_);
  void LeaveNetworkAtLast();
  std::string NetworkJson() const;
  // As StartPump(), into this file; empty for none.
  absl::Status Pump(Container& container, const std::string& log_path);
  std::string CursorPath(const Container& container) const;
  // Has samples taken from `delay` on, as long as the pod is ready.
  void SampleAfter(absl::Duration delay);
  void TakeSample() ABSL_LOCKS_EXCLUDED(mutex_);
  // Shows the sizes as they are now, and the last sample, to the metrics.
  void PublishMetrics() ABSL_LOCKS_EXCLUDED(mutex_);
  // Of those that were created.
  std::vector<ContainerSnapshot> ContainerSnapshots() const
      ABSL_LOCKS_EXCLUDED(mutex_);

  const PodServices services_;
  const PodId id_;
  const PodSpec spec_;

  OperationLock operation_lock_;
  std::unique_ptr<ExitWatcher> exit_watcher_ ABSL_GUARDED_BY(operation_lock_);
  std::vector<std::shared_ptr<Container>> abandoned_
      ABSL_GUARDED_BY(operation_lock_);

  // When the network first did not let the pod go; of this daemon.
  absl::Time leaving_since_ ABSL_GUARDED_BY(operation_lock_) =
      absl::InfiniteFuture();

  // Held while the pod is looked at and its events are published, which thereby
  // come in order. Before the data locks.
  absl::Mutex told_mutex_ ABSL_ACQUIRED_AFTER(operation_lock_);
  PodEventLog told_ ABSL_GUARDED_BY(told_mutex_);

  mutable absl::Mutex mutex_ ABSL_ACQUIRED_AFTER(operation_lock_, told_mutex_);
  PodRecord record_ ABSL_GUARDED_BY(mutex_);
  std::map<ContainerId, std::shared_ptr<Container>> containers_
      ABSL_GUARDED_BY(mutex_);
  // Changes under both locks, so that either is enough to read it. It stays
  // after the VM has ended, until the pod object goes: callers may be in it.
  std::unique_ptr<PodVm> vm_;
  agent::v1::HelloResponse hello_ ABSL_GUARDED_BY(mutex_);
  VmSnapshot sample_ ABSL_GUARDED_BY(mutex_);
  PodUsage usage_ ABSL_GUARDED_BY(mutex_);
  DiskTraffic disk_traffic_ ABSL_GUARDED_BY(mutex_);
  SampleTurn sample_turn_ ABSL_GUARDED_BY(mutex_);
  // Why the guest of an adopted VM cannot be used yet.
  absl::Status guest_ ABSL_GUARDED_BY(mutex_);
  SettleSchedule settle_ ABSL_GUARDED_BY(mutex_);
  PodAccount account_ ABSL_GUARDED_BY(mutex_);
  // Why the last run could not restore a cgroup, or may not grow the VM; empty
  // where neither was so.
  std::string run_error_ ABSL_GUARDED_BY(mutex_);
  // Of containers that have ended, and until when.
  struct HeldRoom {
    ContainerResources resources;
    absl::Time until;
  };
  std::map<ContainerId, HeldRoom> held_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_POD_H_
