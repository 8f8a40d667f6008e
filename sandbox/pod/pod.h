#ifndef PODVISOR_SANDBOX_POD_POD_H_
#define PODVISOR_SANDBOX_POD_POD_H_

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
#include "absl/time/time.h"
#include "base/ids.h"
#include "base/timer_queue.h"
#include "sandbox/container/operation_lock.h"
#include "sandbox/parts/container_ends.h"
#include "sandbox/parts/container_eraser.h"
#include "sandbox/parts/network_membership.h"
#include "sandbox/parts/owned_timers.h"
#include "sandbox/parts/pod_accounting.h"
#include "sandbox/parts/pod_containers.h"
#include "sandbox/parts/pod_event_feed.h"
#include "sandbox/parts/pod_guest.h"
#include "sandbox/parts/pod_news.h"
#include "sandbox/parts/pod_output.h"
#include "sandbox/parts/pod_resizer.h"
#include "sandbox/parts/pod_sampler.h"
#include "sandbox/parts/settle_loop.h"
#include "sandbox/parts/settle_timer.h"
#include "sandbox/parts/stored_pod.h"
#include "sandbox/parts/wanted_size.h"
#include "sandbox/record/pod_snapshot.h"
#include "sandbox/record/state_store.h"

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

// One pod: owns the parts that it is made of, and does what concerns them all:
// boot, recovery, stop.
//
// The record is written before each effect and after it. The destructor lets
// go: the VM runs on for the next daemon.
//
// Held by shared_ptr because a call that still works on a pod may overlap its
// removal, and because timers hold it weakly.
//
// Thread-safe. It has the operation lock, held while the VM changes; its data
// is its parts', each with a lock of its own that nobody holds across I/O (but
// the store's). Order: a container's operation lock, the pod's, the parts'.
class Pod : public std::enable_shared_from_this<Pod> {
 public:
  // `record` is in the store already.
  Pod(const PodServices& services, PodRecord record);
  ~Pod();

  const PodId& id() const { return stored_.id(); }
  const PodServices& services() const { return services_; }

  PodSnapshot Snapshot() const;
  SandboxState state() const { return stored_.state(); }
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

  // One operation on the VM at a time.
  OperationLock& operation_lock() ABSL_LOCK_RETURNED(operation_lock_) {
    return operation_lock_;
  }

  // The parts, for those who need no more; each says what it allows to whom.
  PodContainers& containers() { return containers_; }
  PodGuest& guest() { return guest_; }
  PodOutput& output() { return output_; }
  SettleTimer& settle() { return settle_; }
  PodSampler& sampler() { return sampler_; }
  PodResizer& resizer() { return resizer_; }
  ContainerEraser& eraser() { return eraser_; }
  ContainerEnds& ends() { return ends_; }
  PodNews& news() { return news_; }

 private:
  VmRecorder Recorder();
  absl::Status BootVm(uid_t uid, absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(operation_lock_);
  void WatchVm() ABSL_EXCLUSIVE_LOCKS_REQUIRED(operation_lock_);
  void OnVmExit(const VmExit& exit);
  // Of a pod whose VM has ended.
  void ClearAwayAfter(absl::Duration delay);
  // Makes whoever waits for the guest give up.
  void AbortOperation(absl::Time deadline);
  absl::Status AdoptVm(absl::Time deadline)
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
  absl::Status TearDown(absl::Time deadline)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(operation_lock_);

  const PodServices services_;
  const OwnedTimers timers_;
  const OwnedTimers clean_ups_;
  OperationLock operation_lock_;

  // Each is given parts above it only.
  StoredPod stored_;
  PodContainers containers_;
  PodGuest guest_;
  NetworkMembership network_;
  PodOutput output_;
  SettleTimer settle_;
  WantedSize wanted_;
  PodAccounting accounting_;
  PodSampler sampler_;
  PodResizer resizer_;
  ContainerEraser eraser_;
  SettleLoop loop_;
  PodNews news_;
  ContainerEnds ends_;
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_POD_POD_H_
