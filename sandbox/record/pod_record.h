#ifndef PODVISOR_SANDBOX_RECORD_POD_RECORD_H_
#define PODVISOR_SANDBOX_RECORD_POD_RECORD_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/ids.h"
#include "sandbox/record/pod_spec.h"
#include "sandbox/record/sandbox_state.h"

namespace podvisor {

// What the store keeps of one pod. A value.
//
// Times are kept to the nanosecond; absl::InfinitePast() means "not yet".
struct PodRecord {
  PodId id;
  PodSpec spec;
  SandboxState state = SandboxState::kCreating;
  // What the last UpdatePodSandboxResources gave; `spec` stays as it was asked
  // for, so that the same RunPodSandbox again is known to be the same.
  std::optional<ContainerResources> updated_resources;
  std::optional<ContainerResources> updated_overhead;
  // One was created and removed again: what presize gave is given back then,
  // and does not come again when the last of their records goes.
  bool had_containers = false;
  absl::Time created_at = absl::InfinitePast();
  absl::Time finished_at = absl::InfinitePast();
  std::string reason;   // one CamelCase word
  std::string message;  // for people; cleaned before it came here
  // The VM's own record as its JSON text; empty while there is no VM. Opaque
  // here: it is stored and returned byte for byte.
  std::string vm_json;
  // The same of its network: NetworkRecord::json, and its addresses. They stay
  // until the network has let go of the pod.
  std::string network_json;
  std::vector<std::string> ips;

  bool operator==(const PodRecord&) const = default;
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_RECORD_POD_RECORD_H_
