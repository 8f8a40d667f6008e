#ifndef PODVISOR_SANDBOX_PARTS_POD_CONTAINERS_H_
#define PODVISOR_SANDBOX_PARTS_POD_CONTAINERS_H_

#include <map>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "base/ids.h"
#include "sandbox/container/container.h"

namespace podvisor {

// The containers of one pod, those that are still being created among them.
//
// Thread-safe. Its lock is for the map only; it is taken before the data locks
// of containers.
class PodContainers {
 public:
  // AlreadyExists where one has this name and attempt.
  absl::Status Add(std::shared_ptr<Container> container)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Drop(const ContainerId& id) ABSL_LOCKS_EXCLUDED(mutex_);
  // Drops those that are being created, and gives them to the caller.
  std::vector<std::shared_ptr<Container>> TakeCreating()
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Null where there is none.
  std::shared_ptr<Container> Find(const ContainerId& id) const
      ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<std::shared_ptr<Container>> All() const
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Of those that were created.
  std::vector<ContainerSnapshot> Snapshots() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  mutable absl::Mutex mutex_;
  std::map<ContainerId, std::shared_ptr<Container>> containers_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_PARTS_POD_CONTAINERS_H_
