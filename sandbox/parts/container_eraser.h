#ifndef PODVISOR_SANDBOX_PARTS_CONTAINER_ERASER_H_
#define PODVISOR_SANDBOX_PARTS_CONTAINER_ERASER_H_

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "sandbox/container/container.h"
#include "sandbox/parts/pod_containers.h"
#include "sandbox/parts/pod_guest.h"
#include "sandbox/parts/settle_timer.h"
#include "sandbox/parts/stored_pod.h"
#include "sandbox/record/state_store.h"
#include "sandbox/size/pod_settings.h"

namespace podvisor {

// What a ContainerEraser works on; all borrowed.
struct ContainerEraserParts {
  Clock* clock = nullptr;
  const PodSettings* settings = nullptr;
  StateStore* store = nullptr;
  StoredPod* pod = nullptr;
  PodContainers* containers = nullptr;
  const PodGuest* guest = nullptr;
  SettleTimer* settle = nullptr;
};

// Takes away what there is of a pod's containers: in the guest, of the VM, in
// the store.
//
// For whoever holds the pod's operation lock.
class ContainerEraser {
 public:
  explicit ContainerEraser(const ContainerEraserParts& parts) : parts_(parts) {}

  // Takes away everything of a container, that was created, but its place in
  // the map. Does no harm twice. Errors: the agent's and the store's;
  // Unavailable while the guest has not answered this daemon yet.
  absl::Status Erase(const Container& container, absl::Time deadline);

  // Of a container that never came to be: drops it at once and erases it, with
  // each settling again until that succeeds.
  void Abandon(std::shared_ptr<Container> container);
  // The same, with the next settling, of those that an earlier daemon was
  // creating when it died.
  void AbandonCreating();
  // For the settling. Errors: Erase()'s; the rest is erased all the same.
  absl::Status EraseAbandoned(absl::Time deadline);

 private:
  // A later daemon must know that there was a container, also when its record
  // has gone.
  absl::Status RememberContainers();
  absl::Status EraseTraces(const Container& container, absl::Time deadline);

  const ContainerEraserParts parts_;
  std::vector<std::shared_ptr<Container>> abandoned_;
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_PARTS_CONTAINER_ERASER_H_
