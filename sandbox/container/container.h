#ifndef PODVISOR_SANDBOX_CONTAINER_CONTAINER_H_
#define PODVISOR_SANDBOX_CONTAINER_CONTAINER_H_

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/ids.h"
#include "sandbox/container/log_pump.h"
#include "sandbox/container/operation_lock.h"
#include "sandbox/record/container_record.h"
#include "sandbox/record/container_state.h"
#include "sandbox/record/pod_snapshot.h"
#include "sandbox/record/state_store.h"
#include "volume/share_mount.h"

namespace podvisor {

// One container as the daemon knows it: its record, its phase, its last
// sample. Acts on nothing but the store; ContainerLifecycle does the rest.
//
// Thread-safe. Order of locks: operation_lock() of a container, that of its
// pod, then the data locks, which nobody holds across I/O but the store's.
class Container {
 public:
  // `record` is in the store already. Borrows `store`.
  Container(StateStore* store, ContainerRecord record, std::string log_path);

  const ContainerId& id() const { return id_; }
  const PodId& pod_id() const { return pod_id_; }

  // One start, stop, update or removal at a time.
  OperationLock& operation_lock() ABSL_LOCK_RETURNED(operation_lock_) {
    return operation_lock_;
  }

  ContainerSnapshot Snapshot() const;
  ContainerStatsSnapshot StatsSnapshot() const;
  ContainerPhase phase() const;

  // The one way a phase changes. FailedPrecondition, naming the phase, where
  // `event` is illegal; otherwise `change` edits the record and the result is
  // stored before anyone sees it. A store that fails leaves all as it was,
  // except for kStarted and kExited: what has happened in the guest is true all
  // the same.
  absl::Status Transition(ContainerEvent event,
                          const std::function<void(ContainerRecord&)>& change);
  // The record without another phase.
  absl::Status Change(const std::function<void(ContainerRecord&)>& change);

  // When the start that is under way, or worked, began: a process that has
  // ended before its start was recorded ran from then on. InfinitePast for
  // none.
  void SetStartBegun(absl::Time at);
  absl::Time start_begun() const;

  // Waits until the container is kExited; false at the deadline.
  bool AwaitExit(absl::Time deadline) const;
  // As long as it lives, somebody wants the container killed at `kill_at` if it
  // has not ended: of several, the one in the greatest hurry counts, also for
  // those who wait already.
  class StopRequest {
   public:
    StopRequest(Container* container, absl::Time kill_at);  // borrows
    ~StopRequest();
    StopRequest(const StopRequest&) = delete;
    StopRequest& operator=(const StopRequest&) = delete;

   private:
    Container* const container_;
    std::multiset<absl::Time>::iterator place_;
  };
  // Waits until the container is kExited, or is to be killed; false then, and
  // at the deadline.
  bool AwaitExitOrKill(absl::Time deadline) const;

  // Whether the pod's VM must have room for it.
  bool Counts() const;
  // For what: what it has, what an update is to give it, and what one whose end
  // is not known may have given it; the most of each.
  ContainerResources wanted() const;
  // The same without an update that waits for its room.
  ContainerResources granted() const;
  // Whether it is being created or updated.
  bool IsChanging() const;

  // As last known to be applied in the guest.
  ContainerResources resources() const;
  // An update to `after` is under way, and waits for its room; nullopt: none is
  // any more.
  void SetUpdate(std::optional<ContainerResources> after);
  void SetUpdateHasRoom();
  // What the guest's cgroup may have instead of resources(): nothing but while
  // the guest is asked for an update, after one that could not be taken back,
  // and after a daemon that was killed in the middle of one.
  std::optional<ContainerResources> tried() const;
  // What the guest says that its cgroup has instead, for the status; until the
  // next update or until it is known.
  void SetSeen(const ContainerResources& seen);
  // To be called before the guest is asked. Errors: the store's; the guest must
  // not be asked then.
  absl::Status SetTried(const ContainerResources& after);
  // The guest has `resources` from now on. After an error of the store nothing
  // has changed.
  absl::Status SetApplied(const ContainerResources& resources);
  // The guest has resources(). Should that not be stored, a later daemon gives
  // them to it once more.
  void SetCgroupIsKnown();

  void SetUsage(const ContainerUsage& usage);

  // The container's mounts as the pod's share has them. Derived, so that a
  // later daemon finds the same names.
  std::vector<ShareMount> ShareMounts() const;
  // The name in the guest of the image of its root, and of every image that it
  // uses, image volumes too.
  std::string image_hex() const;
  std::set<std::string> image_hexes() const;

  // What collects the output; null before the start and after the pod's end.
  std::shared_ptr<LogPump> pump() const;
  // The pump that was there stops when nobody else uses it any more.
  void SetPump(std::shared_ptr<LogPump> pump);

 private:
  ContainerResources RoomLocked(bool with_update) const
      ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  // What the guest's cgroup is known to have.
  ContainerResources AppliedLocked() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  absl::Time KillAtLocked() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  bool ExitedLocked() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return record_.phase == ContainerPhase::kExited;
  }

  StateStore* const store_;
  const ContainerId id_;
  const PodId pod_id_;
  const std::string log_path_;
  OperationLock operation_lock_;
  mutable absl::Mutex mutex_;
  ContainerRecord record_ ABSL_GUARDED_BY(mutex_);
  std::optional<ContainerResources> update_ ABSL_GUARDED_BY(mutex_);
  // What there was before that: it is shown meanwhile.
  ContainerResources before_update_ ABSL_GUARDED_BY(mutex_);
  std::optional<ContainerResources> seen_ ABSL_GUARDED_BY(mutex_);
  bool update_has_room_ ABSL_GUARDED_BY(mutex_) = false;
  std::multiset<absl::Time> kill_times_ ABSL_GUARDED_BY(mutex_);
  absl::Time start_begun_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  ContainerUsage usage_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<LogPump> pump_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_CONTAINER_CONTAINER_H_
