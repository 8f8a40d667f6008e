#ifndef PODVISOR_SANDBOX_PARTS_NETWORK_MEMBERSHIP_H_
#define PODVISOR_SANDBOX_PARTS_NETWORK_MEMBERSHIP_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "network/pod_network.h"
#include "sandbox/parts/stored_pod.h"

namespace podvisor {

// A pod's place in its network, by the pod's record: what is stored of it, and
// how the pod leaves it. (It joins while its VM boots: PodVm::Boot().)
//
// Check() and Leave() are for whoever holds the pod's operation lock; the
// rest is thread-safe.
class NetworkMembership {
 public:
  // Borrows all three.
  NetworkMembership(StoredPod* pod, PodNetwork* network, Clock* clock)
      : pod_(pod), network_(network), clock_(clock) {}

  // Stores what the network says of the pod.
  NetworkRecorder Recorder();

  // Warns where the network of an adopted VM is not as it was.
  void Check(absl::Time deadline);

  // Gives back all that the network keeps of the pod: after its VM, because
  // what that still sends must not meet another pod's addresses. After some
  // minutes of errors it gives up: the pod ends, and what plugins keep outside
  // of the namespace is tried once more by LeaveAtLast(). Errors: the
  // network's; call again.
  enum class Leaving { kLeft, kGivenUp };
  absl::StatusOr<Leaving> Leave(absl::Time deadline);
  // When the pod is removed. Errors are logged.
  void LeaveAtLast();

 private:
  StoredPod* const pod_;
  PodNetwork* const network_;
  Clock* const clock_;
  // When the network first did not let the pod go, by Clock::Elapsed().
  absl::Duration leaving_since_ = absl::InfiniteDuration();
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_PARTS_NETWORK_MEMBERSHIP_H_
