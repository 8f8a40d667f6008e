#include "cri/filters.h"

#include <map>
#include <optional>

#include "absl/strings/match.h"

namespace podvisor {
namespace {

using Selector = google::protobuf::Map<std::string, std::string>;

bool HasLabels(const Selector& selector,
               const std::map<std::string, std::string>& labels) {
  for (const auto& [key, value] : selector) {
    const auto label = labels.find(key);
    if (label == labels.end() || label->second != value) return false;
  }
  return true;
}

template <typename Snapshot>
std::vector<std::string> IdsOf(absl::Span<const Snapshot> snapshots) {
  std::vector<std::string> ids;
  ids.reserve(snapshots.size());
  for (const Snapshot& snapshot : snapshots) ids.push_back(snapshot.id.value());
  return ids;
}

std::vector<std::string> ValuesOf(absl::Span<const PodId> pods) {
  std::vector<std::string> ids;
  ids.reserve(pods.size());
  for (const PodId& pod : pods) ids.push_back(pod.value());
  return ids;
}

// The one of `ids` that `prefix` means; empty for none and for several.
std::string Resolve(absl::string_view prefix,
                    absl::Span<const std::string> ids) {
  std::string match;
  bool several = false;
  for (const std::string& id : ids) {
    if (!absl::StartsWith(id, prefix)) continue;
    if (id.size() == prefix.size()) return id;
    several = several || !match.empty();
    match = id;
  }
  return several ? "" : match;
}

// An id in a filter: not given, a known one, or one that matches nothing.
class IdFilter {
 public:
  IdFilter(absl::string_view prefix, absl::Span<const std::string> ids) {
    if (!prefix.empty()) wanted_ = Resolve(prefix, ids);
  }

  bool Matches(absl::string_view id) const {
    return !wanted_.has_value() || (!wanted_->empty() && *wanted_ == id);
  }

 private:
  std::optional<std::string> wanted_;
};

bool HasState(const runtime::v1::ContainerFilter& filter,
              ContainerPhase phase) {
  if (phase == ContainerPhase::kCreating) return false;
  if (!filter.has_state()) return true;
  switch (filter.state().state()) {
    case runtime::v1::CONTAINER_CREATED:
      return phase == ContainerPhase::kCreated;
    case runtime::v1::CONTAINER_RUNNING:
      return phase == ContainerPhase::kRunning;
    case runtime::v1::CONTAINER_EXITED:
      return phase == ContainerPhase::kExited;
    default:
      return false;
  }
}

bool HasState(const runtime::v1::PodSandboxFilter& filter, SandboxState state) {
  if (state == SandboxState::kCreating) return false;
  if (!filter.has_state()) return true;
  const bool ready = state == SandboxState::kReady;
  return ready == (filter.state().state() == runtime::v1::SANDBOX_READY);
}

}  // namespace

std::vector<const PodSnapshot*> FilterPods(
    const runtime::v1::PodSandboxFilter& filter,
    absl::Span<const PodSnapshot> pods) {
  const IdFilter id(filter.id(), IdsOf(pods));
  std::vector<const PodSnapshot*> matches;
  for (const PodSnapshot& pod : pods) {
    if (id.Matches(pod.id.value()) && HasState(filter, pod.state) &&
        HasLabels(filter.label_selector(), pod.spec.labels)) {
      matches.push_back(&pod);
    }
  }
  return matches;
}

std::vector<const ContainerSnapshot*> FilterContainers(
    const runtime::v1::ContainerFilter& filter,
    absl::Span<const ContainerSnapshot> containers,
    absl::Span<const PodId> pods) {
  const IdFilter id(filter.id(), IdsOf(containers));
  const IdFilter pod(filter.pod_sandbox_id(), ValuesOf(pods));
  std::vector<const ContainerSnapshot*> matches;
  for (const ContainerSnapshot& container : containers) {
    if (id.Matches(container.id.value()) &&
        pod.Matches(container.pod.value()) &&
        HasState(filter, container.phase) &&
        HasLabels(filter.label_selector(), container.spec.labels)) {
      matches.push_back(&container);
    }
  }
  return matches;
}

std::vector<const ContainerStatsSnapshot*> FilterStats(
    const runtime::v1::ContainerStatsFilter& filter,
    absl::Span<const ContainerStatsSnapshot> stats,
    absl::Span<const PodId> pods) {
  const IdFilter id(filter.id(), IdsOf(stats));
  const IdFilter pod(filter.pod_sandbox_id(), ValuesOf(pods));
  std::vector<const ContainerStatsSnapshot*> matches;
  for (const ContainerStatsSnapshot& container : stats) {
    if (container.phase == ContainerPhase::kRunning &&
        id.Matches(container.id.value()) &&
        pod.Matches(container.pod.value()) &&
        HasLabels(filter.label_selector(), container.labels)) {
      matches.push_back(&container);
    }
  }
  return matches;
}

}  // namespace podvisor
