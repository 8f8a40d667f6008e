#ifndef PODVISOR_SANDBOX_PARTS_CONTAINER_ENDS_H_
#define PODVISOR_SANDBOX_PARTS_CONTAINER_ENDS_H_

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "guestagent/agent.pb.h"
#include "sandbox/container/container.h"
#include "sandbox/container/exit_watcher.h"
#include "sandbox/parts/pod_containers.h"
#include "sandbox/parts/pod_guest.h"
#include "sandbox/parts/pod_news.h"
#include "sandbox/parts/pod_output.h"
#include "sandbox/parts/settle_timer.h"
#include "sandbox/parts/stored_pod.h"
#include "sandbox/parts/wanted_size.h"
#include "sandbox/size/pod_settings.h"

namespace podvisor {

// What ContainerEnds works on; all borrowed.
struct ContainerEndsParts {
  Clock* clock = nullptr;
  const PodSettings* settings = nullptr;
  const StoredPod* pod = nullptr;
  const PodContainers* containers = nullptr;
  const PodGuest* guest = nullptr;
  PodOutput* output = nullptr;
  WantedSize* wanted = nullptr;
  SettleTimer* settle = nullptr;
  PodNews* news = nullptr;
};

// How containers of a pod end, and what follows from it: the last output, the
// record, the size of the VM, the news.
//
// Watch() and StopWatching() are for whoever holds the pod's operation lock;
// the rest is thread-safe.
class ContainerEnds {
 public:
  explicit ContainerEnds(const ContainerEndsParts& parts) : parts_(parts) {}

  // Hears of ends in the guest from here on, on a thread of its own.
  void Watch();
  // Disconnects the agent, and with it all that collects output. Once more when
  // the pod object goes: nothing calls back after it.
  void StopWatching();

  // The end of a container, by `event` and with `change` as Transition() has
  // them: what it had is kept for the shrink delay, for the one that may come
  // in its place, and then the VM settles. Errors: Transition()'s.
  absl::Status Record(Container& container, ContainerEvent event,
                      const std::function<void(ContainerRecord&)>& change);
  // All end with their VM.
  void RecordAll(int exit_code, absl::string_view reason,
                 absl::string_view message);

  // Kills what runs, and waits for the ends that Watch() hears of.
  void KillAll(absl::Time deadline);

 private:
  void OnExit(const agent::v1::ContainerExit& exit);

  const ContainerEndsParts parts_;
  std::unique_ptr<ExitWatcher> watcher_;
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_PARTS_CONTAINER_ENDS_H_
