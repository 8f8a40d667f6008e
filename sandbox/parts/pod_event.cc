#include "sandbox/parts/pod_event.h"

#include <algorithm>
#include <utility>

namespace podvisor {

PodEventLog::Stage PodEventLog::StageOf(const PodSnapshot& pod) {
  switch (pod.state) {
    case SandboxState::kCreating:
      return kUnknown;
    case SandboxState::kReady:
    case SandboxState::kStopping:
      return kStarted;
    case SandboxState::kStopped:
      return kStopped;
  }
  return kUnknown;
}

PodEventLog::Stage PodEventLog::StageOf(const ContainerSnapshot& container) {
  switch (container.phase) {
    case ContainerPhase::kCreating:
      return kUnknown;
    case ContainerPhase::kCreated:
      return kCreated;
    case ContainerPhase::kRunning:
      return kStarted;
    case ContainerPhase::kExited:
      return kStopped;
  }
  return kUnknown;
}

void PodEventLog::Adopt(const PodSnapshot& pod,
                        const std::vector<ContainerSnapshot>& containers) {
  pod_ = StageOf(pod);
  containers_.clear();
  for (const ContainerSnapshot& container : containers) {
    containers_[container.id] = StageOf(container);
  }
}

std::vector<PodEvent> PodEventLog::Advance(
    const PodSnapshot& pod, const std::vector<ContainerSnapshot>& containers,
    bool removed, absl::Time now) {
  std::vector<PodEvent> events;
  const auto tell = [&](const std::string& subject, Stage from, Stage to,
                        bool has_started) {
    for (int stage = from + 1; stage <= to; ++stage) {
      if (stage == kStarted && !has_started) continue;
      events.push_back(
          {static_cast<PodEventKind>(stage - kCreated), subject, now, pod,
           removed ? std::vector<ContainerSnapshot>() : containers});
    }
  };
  if (pod_ == kUnknown && pod.state != SandboxState::kReady) return events;
  // Whoever still works on a pod that was removed has nothing to tell.
  if (pod_ == kDeleted) return events;

  const Stage begun = std::max(pod_, kStarted);
  tell(pod.id.value(), pod_, begun, true);
  std::map<ContainerId, Stage> known;
  if (!removed) {
    for (const ContainerSnapshot& container : containers) {
      Stage& told = known[container.id];
      told = containers_[container.id];
      const Stage stage = std::max(told, StageOf(container));
      tell(container.id.value(), told, stage,
           container.started_at != absl::InfinitePast());
      told = stage;
    }
  }
  for (const auto& [id, told] : containers_) {
    if (known.count(id) != 0 || told == kUnknown) continue;
    tell(id.value(), told, kDeleted, told == kStarted);
  }
  containers_ = std::move(known);
  const Stage end = removed ? kDeleted : std::max(begun, StageOf(pod));
  tell(pod.id.value(), begun, end, true);
  pod_ = end;
  return events;
}

}  // namespace podvisor
