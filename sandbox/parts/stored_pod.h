#ifndef PODVISOR_SANDBOX_PARTS_STORED_POD_H_
#define PODVISOR_SANDBOX_PARTS_STORED_POD_H_

#include <functional>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "base/ids.h"
#include "sandbox/record/pod_record.h"
#include "sandbox/record/state_store.h"

namespace podvisor {

// A pod's record as the store has it, and the one place that changes either:
// whatever a pod takes hold of is written before anybody can see it.
//
// Thread-safe. Its lock is held across the store's I/O, and nobody takes
// another lock of the pod under it.
class StoredPod {
 public:
  // `record` is in the store already. Borrows `store`.
  StoredPod(StateStore* store, PodRecord record);

  const PodId& id() const { return id_; }
  // As it was asked for: it never changes.
  const PodSpec& spec() const { return spec_; }
  PodRecord record() const ABSL_LOCKS_EXCLUDED(mutex_);
  SandboxState state() const ABSL_LOCKS_EXCLUDED(mutex_);
  // FailedPrecondition, naming the state, unless the pod is kReady.
  absl::Status CheckReady() const ABSL_LOCKS_EXCLUDED(mutex_);

  // The one way the state changes, with whatever `change` does to the rest.
  // FailedPrecondition, naming the state, where `event` is illegal. A store
  // that fails keeps a pod from becoming ready, and from nothing else: that a
  // VM ended, or is to end, is so also where nobody can write it down.
  using Edit = std::function<void(PodRecord&)>;
  absl::Status Transition(
      SandboxEvent event, const Edit& change = [](PodRecord&) {})
      ABSL_LOCKS_EXCLUDED(mutex_);
  // The record without another state. After an error, the store's, nothing has
  // changed.
  absl::Status Change(const Edit& change) ABSL_LOCKS_EXCLUDED(mutex_);
  // Removes the record, and those of the pod's containers, from the store. No
  // change brings it back.
  absl::Status Forget() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  absl::Status PutLocked(const PodRecord& record)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status IllegalNow() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);

  StateStore* const store_;
  const PodId id_;
  const PodSpec spec_;
  mutable absl::Mutex mutex_;
  PodRecord record_ ABSL_GUARDED_BY(mutex_);
  bool forgotten_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_PARTS_STORED_POD_H_
