#include "sandbox/parts/cgroup_restore.h"

#include <optional>

#include "absl/status/statusor.h"
#include "base/status_macros.h"
#include "sandbox/container/cgroup_reading.h"
#include "sandbox/container/container_request.h"

namespace podvisor {
namespace {

// For one that may have what was `tried`.
absl::Status RestoreCgroup(Container& container,
                           const ContainerResources& tried, GuestAgent& agent,
                           CpusetMode cpuset, absl::Time deadline) {
  const ContainerResources had = container.resources();
  const absl::Status restored = agent.Update(
      container.id(), ExplicitResourcesOf(had, cpuset, tried), deadline);
  // One that the guest does not know has no cgroup; its end will be told.
  if (restored.ok() || absl::IsNotFound(restored)) {
    container.SetCgroupIsKnown();
    return absl::OkStatus();
  }
  const absl::StatusOr<agent::v1::ReadCgroupResponse> has = agent.ReadCgroup(
      container.id(), FilesToRead(had, tried, cpuset), deadline);
  // What was seen earlier may have been changed by the attempt.
  container.SetSeen(has.ok() ? ResourcesAsRead(had, tried, *has, cpuset)
                             : CommonResources(had, tried));
  return Annotate(restored, "container cgroup");
}

}  // namespace

absl::Status RestoreCgroups(const PodContainers& containers, GuestAgent& agent,
                            CpusetMode cpuset, absl::Time deadline) {
  absl::Status first;
  for (const auto& container : containers.All()) {
    // An update under way restores its own, or leaves it to a later run.
    const std::optional<ContainerResources> tried = container->tried();
    if (!container->Counts() || !tried || container->IsChanging()) continue;
    // Never waits for it: its operations come before those of the pod.
    OperationLock& lock = container->operation_lock();
    if (!lock.LockUntil(absl::InfinitePast())) {
      first.Update(absl::UnavailableError("a container is being worked on"));
      continue;
    }
    const OperationHolder operation(&lock);
    first.Update(RestoreCgroup(*container, *tried, agent, cpuset, deadline));
  }
  return first;
}

}  // namespace podvisor
