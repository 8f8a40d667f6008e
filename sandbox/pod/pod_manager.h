#ifndef PODVISOR_SANDBOX_POD_POD_MANAGER_H_
#define PODVISOR_SANDBOX_POD_POD_MANAGER_H_

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/ids.h"
#include "sandbox/container/container.h"
#include "sandbox/pod/pod.h"

namespace podvisor {

struct FoundContainer {
  std::shared_ptr<Pod> pod;
  std::shared_ptr<Container> container;
};

// All pods of this daemon. Finds them by id or unique prefix of an id, and
// makes sure that a name is not used twice.
//
// Thread-safe. Its lock guards the maps and is never held while a pod works;
// order: this lock before those of a pod.
class PodManager {
 public:
  explicit PodManager(const PodServices& services);

  PodManager(const PodManager&) = delete;
  PodManager& operator=(const PodManager&) = delete;

  // Loads the records of earlier daemons, takes over what is alive, clears
  // away what is not; what cannot be cleared away is logged and stays for the
  // next start. Called once, before anything else. Errors: the store's, while
  // it is read.
  absl::Status Recover(absl::Time deadline);

  // Boots a pod and returns its id. The same request again, also while the
  // first is still at work, gives the same pod; after a failure nothing is
  // left that would block a retry, unless a process could not be ended: then
  // the pod stays, not ready, until it is stopped.
  //
  // Errors: AlreadyExists (name taken by another spec), those of Pod::Boot().
  absl::StatusOr<PodId> RunPod(const PodSpec& spec, absl::Time deadline);

  // By id or unique prefix. NotFound for an unknown one (a pod that is being
  // created is not known yet), InvalidArgument for a prefix of several: an
  // idempotent Stop must not take that for "gone".
  absl::StatusOr<std::shared_ptr<Pod>> FindPod(absl::string_view prefix) const;
  absl::StatusOr<FoundContainer> FindContainer(absl::string_view prefix) const;

  std::vector<std::shared_ptr<Pod>> ListPods() const;
  std::vector<std::shared_ptr<Container>> ListContainers() const;

  // Stops the pod, then removes it with its containers. OK when it is gone.
  absl::Status RemovePod(const std::shared_ptr<Pod>& pod, absl::Time deadline);

  // See container_lifecycle.h; these two also keep the index.
  absl::StatusOr<ContainerId> CreateContainer(const std::shared_ptr<Pod>& pod,
                                              const ContainerSpec& spec,
                                              absl::Time deadline);
  absl::Status RemoveContainer(const FoundContainer& found,
                               absl::Time deadline);

 private:
  // The pod of the record, which is new and has its name now, or the one that
  // an equal request has booted.
  absl::StatusOr<std::shared_ptr<Pod>> Reserve(const PodRecord& record,
                                               absl::Time deadline)
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status BootReserved(Pod& pod, const PodRecord& record,
                            absl::Time deadline) ABSL_LOCKS_EXCLUDED(mutex_);
  // Of a pod of which nothing is left: its record and its place here.
  void Forget(Pod& pod);
  void Release(const Pod& pod);
  // What earlier daemons left on this host of pods that have no record.
  void SweepUnknown() ABSL_LOCKS_EXCLUDED(mutex_);
  uid_t ReserveUid(const PodId& id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const PodServices services_;
  mutable absl::Mutex mutex_;
  std::map<PodId, std::shared_ptr<Pod>> pods_ ABSL_GUARDED_BY(mutex_);
  std::map<PodMetadata, PodId> names_ ABSL_GUARDED_BY(mutex_);
  std::map<PodId, uid_t> uids_ ABSL_GUARDED_BY(mutex_);
  std::set<PodId> booting_ ABSL_GUARDED_BY(mutex_);
  std::map<ContainerId, std::shared_ptr<Pod>> containers_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_POD_POD_MANAGER_H_
