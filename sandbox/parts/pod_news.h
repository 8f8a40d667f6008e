#ifndef PODVISOR_SANDBOX_PARTS_POD_NEWS_H_
#define PODVISOR_SANDBOX_PARTS_POD_NEWS_H_

#include <functional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "sandbox/parts/pod_containers.h"
#include "sandbox/parts/pod_event.h"
#include "sandbox/parts/pod_event_feed.h"
#include "sandbox/record/pod_snapshot.h"

namespace podvisor {

// Tells the feed what has happened to a pod and its containers.
//
// Thread-safe.
class PodNews {
 public:
  using Look = std::function<PodSnapshot()>;

  // Borrows all but `look`.
  PodNews(PodEventFeed* feed, Clock* clock, const PodContainers* containers,
          Look look)
      : feed_(feed),
        clock_(clock),
        containers_(containers),
        look_(std::move(look)) {}

  // What happened since the last time; to be called after anything that a
  // client could see. `removed`: the pod is gone.
  void Tell(bool removed = false) ABSL_LOCKS_EXCLUDED(mutex_);
  // After a recovery: what it found is no news.
  void Begin() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  PodEventFeed* const feed_;
  Clock* const clock_;
  const PodContainers* const containers_;
  const Look look_;
  // Held while the pod is looked at and its events are published, which thereby
  // come in order. Before the locks of all other parts.
  absl::Mutex mutex_;
  PodEventLog told_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_PARTS_POD_NEWS_H_
