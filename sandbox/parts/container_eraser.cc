#include "sandbox/parts/container_eraser.h"

#include <utility>

#include "absl/status/statusor.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace podvisor {
namespace {

// How long it may take to erase a container that never came to be.
constexpr absl::Duration kEraseTime = absl::Seconds(10);

}  // namespace

absl::Status ContainerEraser::Erase(const Container& container,
                                    absl::Time deadline) {
  RETURN_IF_ERROR(RememberContainers());
  return EraseTraces(container, deadline);
}

absl::Status ContainerEraser::RememberContainers() {
  if (parts_.pod->record().had_containers) return absl::OkStatus();
  return parts_.pod->Change(
      [](PodRecord& record) { record.had_containers = true; });
}

absl::Status ContainerEraser::EraseTraces(const Container& container,
                                          absl::Time deadline) {
  const absl::StatusOr<PodVm*> vm = parts_.guest->ReadyVm();
  if (absl::IsUnavailable(vm.status())) return vm.status();
  // Of a pod that is stopped, nothing is left in a guest.
  if (vm.ok()) {
    RETURN_IF_ERROR((*vm)->vm().agent().Delete(container.id(), deadline));
    (*vm)->RemoveMounts(container.ShareMounts());
    absl::Status released;
    for (const std::string& image : container.image_hexes()) {
      released.Update((*vm)->RemoveImageUser(image, container.id(), deadline));
    }
    if (!released.ok()) {
      Log(LogLevel::kWarning, "an image is released later",
          {{"sandbox_id", parts_.pod->id().value()},
           {"error", released.message()}});
      parts_.settle->After(parts_.settings->shrink_delay);
    }
  }
  return parts_.store->DeleteContainer(container.id());
}

void ContainerEraser::Abandon(std::shared_ptr<Container> container) {
  parts_.containers->Drop(container->id());
  abandoned_.push_back(std::move(container));
  const absl::Status erased = EraseAbandoned(parts_.clock->Now() + kEraseTime);
  if (!erased.ok()) {
    Log(LogLevel::kWarning, "what an unfinished create left is removed later",
        {{"sandbox_id", parts_.pod->id().value()},
         {"error", erased.message()}});
  }
  parts_.settle->After(absl::ZeroDuration());
}

void ContainerEraser::AbandonCreating() {
  for (auto& creating : parts_.containers->TakeCreating()) {
    abandoned_.push_back(std::move(creating));
  }
}

absl::Status ContainerEraser::EraseAbandoned(absl::Time deadline) {
  absl::Status first;
  std::vector<std::shared_ptr<Container>> left;
  for (std::shared_ptr<Container>& container : abandoned_) {
    const absl::Status erased = EraseTraces(*container, deadline);
    first.Update(erased);
    if (!erased.ok()) left.push_back(std::move(container));
  }
  abandoned_ = std::move(left);
  return first;
}

}  // namespace podvisor
