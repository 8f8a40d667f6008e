#ifndef PODVISOR_SANDBOX_PARTS_PENDING_LINK_H_
#define PODVISOR_SANDBOX_PARTS_PENDING_LINK_H_

#include <atomic>
#include <memory>
#include <thread>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "network/pod_network.h"

namespace podvisor {

// A pod that is being attached to its network while its VM boots: plugins and
// the boot do not need each other, and both take their time.
//
// For one thread. The destructor gives up and waits until that has been
// noticed, which is within moments.
class PendingLink {
 public:
  // `network` outlives it.
  static std::unique_ptr<PendingLink> Start(PodNetwork* network,
                                            PodNetworkRequest request,
                                            NetworkRecorder recorder,
                                            absl::Time deadline);
  ~PendingLink();

  PendingLink(const PendingLink&) = delete;
  PendingLink& operator=(const PendingLink&) = delete;

  // Waits for it, until the deadline that it was started with. Once. Errors:
  // PodNetwork::Add()'s.
  absl::StatusOr<PodLink> Await();

 private:
  PendingLink() : link_(absl::UnknownError("")) {}

  std::atomic<bool> cancelled_{false};
  absl::StatusOr<PodLink> link_;  // the thread's until it is joined
  std::thread thread_;
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_PARTS_PENDING_LINK_H_
