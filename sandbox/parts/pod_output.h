#ifndef PODVISOR_SANDBOX_PARTS_POD_OUTPUT_H_
#define PODVISOR_SANDBOX_PARTS_POD_OUTPUT_H_

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "metrics/pod_metrics.h"
#include "sandbox/container/container.h"
#include "sandbox/parts/pod_containers.h"
#include "sandbox/parts/pod_guest.h"
#include "sandbox/record/pod_spec.h"

namespace podvisor {

// How long the last output of a container that has ended may take.
inline constexpr absl::Duration kLastOutputTime = absl::Milliseconds(500);

// What collects the output of a pod's containers: one pump for each, from the
// guest to the container's log file.
//
// Thread-safe, but for one container at a time. Start(), Continue() and End()
// need the VM.
class PodOutput {
 public:
  // Borrows all of them.
  PodOutput(const PodSpec* spec, const PodGuest* guest,
            const PodContainers* containers, Clock* clock, PodMetrics* metrics);

  // Where `container`'s output goes; empty for none.
  std::string LogPathOf(const ContainerSpec& container) const;

  // Begins to collect the container's output, or goes on where an earlier
  // daemon was. Errors: the log file's.
  absl::Status Start(Container& container);
  // For one that runs already, and must have a reader whatever its log file
  // says: without one it would stand still once its pipe is full.
  void Continue(Container& container);
  // For a container that is gone from the guest: drops the pump and what it
  // kept beside the log. Waits for kLastOutputTime at most.
  void End(Container& container);

  // For a pod that ends: disconnects its agent, and writes what the logs hold
  // back of lines that nobody will end any more.
  void AbandonAll();
  // Once the agent is disconnected.
  void DropAll();

 private:
  // Into this file of the pod's log directory; empty for none.
  absl::Status Pump(Container& container, const std::string& log_path);
  std::string CursorPath(const Container& container) const;

  const PodSpec& spec_;
  const PodGuest* const guest_;
  const PodContainers* const containers_;
  Clock* const clock_;
  PodMetrics* const metrics_;
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_PARTS_POD_OUTPUT_H_
