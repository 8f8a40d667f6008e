#ifndef PODVISOR_SANDBOX_PARTS_POD_EVENT_H_
#define PODVISOR_SANDBOX_PARTS_POD_EVENT_H_

#include <map>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/ids.h"
#include "sandbox/record/pod_snapshot.h"

namespace podvisor {

enum class PodEventKind { kCreated, kStarted, kStopped, kDeleted };

// Something happened to a pod or to one of its containers; the rest says how
// the pod was right afterwards. A value.
struct PodEvent {
  PodEventKind kind = PodEventKind::kCreated;
  std::string subject_id;  // the container's, or the pod's own
  absl::Time at = absl::InfinitePast();
  PodSnapshot pod;
  std::vector<ContainerSnapshot> containers;
};

// What has been told of one pod. Events are the difference between that and
// what is so now, so that none is told twice or in the wrong order, whichever
// thread looks first, and one that nobody told is made up for by the next look.
//
// Not thread-safe.
class PodEventLog {
 public:
  // What a daemon finds when it starts: no news to anybody.
  void Adopt(const PodSnapshot& pod,
             const std::vector<ContainerSnapshot>& containers);

  // What is new, in the order in which it happened to each; containers end
  // before their pod. A pod is news when it is ready: one whose boot failed
  // never was there. `removed`: the pod is gone, and its containers with it.
  std::vector<PodEvent> Advance(
      const PodSnapshot& pod, const std::vector<ContainerSnapshot>& containers,
      bool removed, absl::Time now);

 private:
  // How far each has come, and was told.
  enum Stage { kUnknown, kCreated, kStarted, kStopped, kDeleted };
  static Stage StageOf(const PodSnapshot& pod);
  static Stage StageOf(const ContainerSnapshot& container);

  Stage pod_ = kUnknown;
  std::map<ContainerId, Stage> containers_;
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_PARTS_POD_EVENT_H_
