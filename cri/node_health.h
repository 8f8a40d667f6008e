#ifndef PODVISOR_CRI_NODE_HEALTH_H_
#define PODVISOR_CRI_NODE_HEALTH_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/timer_queue.h"
#include "sandbox/record/state_store.h"
#include "sandbox/record/vm_spec.h"

namespace podvisor {

// One thing without which this node runs no pods.
struct NodeCheck {
  std::string reason;  // in CamelCase, when it fails: "StateStoreBroken"
  std::function<absl::Status()> run;
};

// The daemon's own: the store takes writes; QEMU and the guest image are there.
// A full disk is no fault: kubelet sees it and frees room, and a node that is
// not ready would lose the pods that run. Borrows the store.
std::vector<NodeCheck> NodeChecks(StateStore* store, const VmSpec& vm);

// Whether this node can run pods, for Status and /healthz.
//
// The checks run every few seconds as a timer, and readers get the last
// verdict: none of them waits for a disk. A verdict that is too old is a fault
// of its own: a check hangs.
//
// Thread-safe.
class NodeHealth : public std::enable_shared_from_this<NodeHealth> {
 public:
  struct Verdict {
    std::string reason;  // empty: all is well
    std::string message;
  };

  // Runs the checks once before it returns. Borrows timers and clock; the
  // timers may outlive the object, and are for nothing that may hang otherwise.
  static std::shared_ptr<NodeHealth> Start(std::vector<NodeCheck> checks,
                                           TimerQueue* timers, Clock* clock);

  Verdict verdict() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  NodeHealth(std::vector<NodeCheck> checks, TimerQueue* timers, Clock* clock);

  void Check() ABSL_LOCKS_EXCLUDED(mutex_);

  const std::vector<NodeCheck> checks_;
  TimerQueue* const timers_;
  Clock* const clock_;
  mutable absl::Mutex mutex_;
  Verdict last_ ABSL_GUARDED_BY(mutex_);
  absl::Duration checked_at_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace podvisor

#endif  // PODVISOR_CRI_NODE_HEALTH_H_
