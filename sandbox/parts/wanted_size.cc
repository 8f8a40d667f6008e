#include "sandbox/parts/wanted_size.h"

#include <algorithm>
#include <memory>

#include "base/status_macros.h"

namespace podvisor {

PodTotals WantedSize::Totals() const {
  const PodRecord record = pod_->record();
  return {.resources = record.updated_resources.has_value()
                           ? record.updated_resources
                           : record.spec.resources,
          .overhead = record.updated_overhead.has_value()
                          ? record.updated_overhead
                          : record.spec.overhead};
}

absl::Status WantedSize::CheckTotals(const PodTotals& totals,
                                     const VmLimits& limits) const {
  if (!settings_->presize || !totals.resources.has_value()) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const PodDemand demand, DemandOf(*totals.resources));
  return CheckPodFitsWithoutHotplug(demand, limits);
}

PodTotalUse WantedSize::TotalUse(bool any_counts) const {
  // The containers first: the record learns of the last of them before it goes.
  const bool any = !containers_->All().empty();
  return UseOfPodTotal(settings_->presize, any || pod_->record().had_containers,
                       any_counts);
}

PodSizing WantedSize::Sizing(const VmLimits& limits) const {
  PodSizing sizing;
  for (const auto& container : containers_->All()) {
    if (container->Counts()) sizing.containers.push_back(container->wanted());
  }
  sizing.pod_total = Totals().resources;
  sizing.pod_total_use = TotalUse(!sizing.containers.empty());
  sizing.rules = RulesOf(*settings_, pod_->spec().size);
  sizing.limits = limits;
  sizing.cpuset = settings_->cpuset;
  return sizing;
}

absl::StatusOr<VmTarget> WantedSize::Target(const VmLimits& limits) const {
  return TargetOf(Sizing(limits));
}

PodSizing WantedSize::Granted(const VmLimits& limits,
                              const Container* asking) const {
  if (asking != nullptr) return GrantedWith(limits, *asking, asking->wanted());
  PodSizing sizing = Sizing(limits);
  sizing.containers.clear();
  for (const auto& container : containers_->All()) {
    if (container->Counts() &&
        container->phase() != ContainerPhase::kCreating) {
      sizing.containers.push_back(container->granted());
    }
  }
  sizing.pod_total_use = TotalUse(!sizing.containers.empty());
  return sizing;
}

PodSizing WantedSize::GrantedWith(const VmLimits& limits,
                                  const Container& asking,
                                  const ContainerResources& resources) const {
  PodSizing sizing = Sizing(limits);
  sizing.containers = {resources};
  for (const auto& container : containers_->All()) {
    if (container.get() != &asking && container->Counts() &&
        container->phase() != ContainerPhase::kCreating) {
      sizing.containers.push_back(container->granted());
    }
  }
  sizing.pod_total_use = TotalUse(/*any_counts=*/true);
  return sizing;
}

std::optional<int64_t> WantedSize::HostCpus(const VmTarget& target) const {
  return HostCpuLimit(RulesOf(*settings_, pod_->spec().size), target);
}

void WantedSize::Hold(const Container& ending) {
  const ContainerResources room = ending.wanted();
  const absl::Duration until = clock_->Elapsed() + settings_->shrink_delay;
  absl::MutexLock lock(&mutex_);
  held_[ending.id()] = {room, until};
}

void WantedSize::HoldEnded() {
  const absl::Time now = clock_->Now();
  for (const auto& container : containers_->All()) {
    const ContainerSnapshot ended = container->Snapshot();
    if (ended.phase != ContainerPhase::kExited) continue;
    // By the guest's clock, which may be ahead.
    const absl::Duration age = now - std::min(ended.finished_at, now);
    const absl::Duration left = settings_->shrink_delay - age;
    if (left <= absl::ZeroDuration()) continue;
    const ContainerResources room = container->resources();
    absl::MutexLock lock(&mutex_);
    held_[container->id()] = {room, clock_->Elapsed() + left};
  }
}

absl::StatusOr<VmTarget> WantedSize::HeldTarget(const VmLimits& limits) {
  // The containers first: what one had is held before it ends.
  PodSizing sizing = Sizing(limits);
  const absl::Duration now = clock_->Elapsed();
  {
    absl::MutexLock lock(&mutex_);
    std::erase_if(held_,
                  [now](const auto& held) { return held.second.until <= now; });
    for (const auto& [id, held] : held_) {
      sizing.containers.push_back(held.resources);
    }
  }
  sizing.pod_total_use = TotalUse(!sizing.containers.empty());
  return TargetOf(sizing);
}

absl::Duration WantedSize::NextRelease() const {
  const absl::Duration now = clock_->Elapsed();
  absl::Duration next = absl::InfiniteDuration();
  absl::MutexLock lock(&mutex_);
  for (const auto& [id, held] : held_) next = std::min(next, held.until - now);
  return next;
}

}  // namespace podvisor
