#ifndef PODVISOR_SANDBOX_RECORD_CONTAINER_STATE_H_
#define PODVISOR_SANDBOX_RECORD_CONTAINER_STATE_H_

#include <optional>

namespace podvisor {

// The life of a container. Stored in its record as its number.
enum class ContainerPhase {
  kCreating = 1,  // intent recorded; not listed to clients
  kCreated = 2,   // the process exists in the guest and waits
  kRunning = 3,
  kExited = 4,
};

enum class ContainerEvent {
  kCreated,
  kStarted,
  kStartFailed,
  kExited,  // seen in the guest, or the VM is gone
};

// Pure: the next phase, or nullopt where the event is illegal.
constexpr std::optional<ContainerPhase> NextPhase(ContainerPhase phase,
                                                  ContainerEvent event) {
  switch (event) {
    case ContainerEvent::kCreated:
      if (phase == ContainerPhase::kCreating) return ContainerPhase::kCreated;
      return std::nullopt;
    case ContainerEvent::kStarted:
      if (phase == ContainerPhase::kCreated) return ContainerPhase::kRunning;
      return std::nullopt;
    case ContainerEvent::kStartFailed:
      if (phase == ContainerPhase::kCreated) return ContainerPhase::kExited;
      return std::nullopt;
    case ContainerEvent::kExited:
      if (phase == ContainerPhase::kCreating) return std::nullopt;
      return ContainerPhase::kExited;
  }
  return std::nullopt;
}

static_assert(NextPhase(ContainerPhase::kCreated, ContainerEvent::kStarted) ==
              ContainerPhase::kRunning);
static_assert(!NextPhase(ContainerPhase::kExited, ContainerEvent::kStarted));
static_assert(NextPhase(ContainerPhase::kExited, ContainerEvent::kExited) ==
              ContainerPhase::kExited);

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_RECORD_CONTAINER_STATE_H_
