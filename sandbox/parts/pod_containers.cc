#include "sandbox/parts/pod_containers.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clean_text.h"

namespace podvisor {

absl::Status PodContainers::Add(std::shared_ptr<Container> container) {
  const ContainerSnapshot wanted = container->Snapshot();
  absl::MutexLock lock(&mutex_);
  for (const auto& [id, existing] : containers_) {
    const ContainerSnapshot other = existing->Snapshot();
    if (other.spec.name == wanted.spec.name &&
        other.spec.attempt == wanted.spec.attempt) {
      return absl::AlreadyExistsError(absl::StrCat(
          "container \"", CleanText(wanted.spec.name, 256), "\", attempt ",
          wanted.spec.attempt, ", is there already: ", id.value()));
    }
  }
  containers_[container->id()] = std::move(container);
  return absl::OkStatus();
}

void PodContainers::Drop(const ContainerId& id) {
  absl::MutexLock lock(&mutex_);
  containers_.erase(id);
}

std::vector<std::shared_ptr<Container>> PodContainers::TakeCreating() {
  std::vector<std::shared_ptr<Container>> creating;
  absl::MutexLock lock(&mutex_);
  std::erase_if(containers_, [&](const auto& entry) {
    if (entry.second->phase() != ContainerPhase::kCreating) return false;
    creating.push_back(entry.second);
    return true;
  });
  return creating;
}

std::shared_ptr<Container> PodContainers::Find(const ContainerId& id) const {
  absl::MutexLock lock(&mutex_);
  const auto found = containers_.find(id);
  return found == containers_.end() ? nullptr : found->second;
}

std::vector<std::shared_ptr<Container>> PodContainers::All() const {
  absl::MutexLock lock(&mutex_);
  std::vector<std::shared_ptr<Container>> all;
  for (const auto& [id, container] : containers_) all.push_back(container);
  return all;
}

std::vector<ContainerSnapshot> PodContainers::Snapshots() const {
  std::vector<ContainerSnapshot> all;
  for (const auto& container : All()) {
    ContainerSnapshot snapshot = container->Snapshot();
    if (snapshot.phase == ContainerPhase::kCreating) continue;
    all.push_back(std::move(snapshot));
  }
  return all;
}

}  // namespace podvisor
