#ifndef PODVISOR_SANDBOX_RECORD_CONTAINER_RECORD_H_
#define PODVISOR_SANDBOX_RECORD_CONTAINER_RECORD_H_

#include <optional>
#include <string>

#include "absl/time/time.h"
#include "base/ids.h"
#include "hotplug/container_resources.h"
#include "sandbox/record/container_spec.h"
#include "sandbox/record/container_state.h"
#include "sandbox/record/pod_snapshot.h"

namespace podvisor {

// What the store keeps of one container. A value; times as in PodRecord.
struct ContainerRecord {
  ContainerId id;
  PodId pod_id;
  ContainerSpec spec;
  ContainerPhase phase = ContainerPhase::kCreating;
  absl::Time created_at = absl::InfinitePast();
  absl::Time started_at = absl::InfinitePast();
  absl::Time finished_at = absl::InfinitePast();
  int exit_code = 0;
  std::string reason;                // "Completed", "Error", "OOMKilled", ...
  std::string message;               // for people; cleaned before it came here
  std::string image_id;              // "sha256:<hex>"
  std::string image_ref;             // what ContainerStatus.image_ref shows
  std::optional<ResolvedUser> user;  // once the guest has resolved it
  // As applied in the guest: spec.resources with every update that succeeded.
  ContainerResources resources;
  // Written before the guest is asked for an update, and gone once its end is
  // known: until then its cgroup may have this or `resources`.
  std::optional<ContainerResources> tried;

  bool operator==(const ContainerRecord&) const = default;
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_RECORD_CONTAINER_RECORD_H_
