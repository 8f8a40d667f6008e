#ifndef PODVISOR_SANDBOX_RECORD_SANDBOX_STATE_H_
#define PODVISOR_SANDBOX_RECORD_SANDBOX_STATE_H_

#include <optional>

namespace podvisor {

// The life of a pod. Stored in the pod's record as its number.
enum class SandboxState {
  kCreating = 1,  // resources are being acquired; not listed to clients
  kReady = 2,     // the agent answered; the only state that takes work
  kStopping = 3,  // being torn down; work is refused
  kStopped = 4,   // nothing runs; the record remains until RemovePodSandbox
};

enum class SandboxEvent {
  kAgentReady,
  kSetupFailed,
  kStopRequested,
  kVmExited,
  kTornDown,
};

// Pure: the next state, or nullopt where the event is illegal (the caller
// answers FailedPrecondition). Stop is legal everywhere: CRI demands it.
constexpr std::optional<SandboxState> NextState(SandboxState state,
                                                SandboxEvent event) {
  switch (event) {
    case SandboxEvent::kAgentReady:
      if (state == SandboxState::kCreating) return SandboxState::kReady;
      return std::nullopt;
    case SandboxEvent::kSetupFailed:
      if (state == SandboxState::kCreating) return SandboxState::kStopping;
      return std::nullopt;
    case SandboxEvent::kStopRequested:
    case SandboxEvent::kVmExited:
      if (state == SandboxState::kStopped) return SandboxState::kStopped;
      return SandboxState::kStopping;
    case SandboxEvent::kTornDown:
      if (state == SandboxState::kStopping) return SandboxState::kStopped;
      return std::nullopt;
  }
  return std::nullopt;
}

static_assert(NextState(SandboxState::kReady, SandboxEvent::kVmExited) ==
              SandboxState::kStopping);
static_assert(NextState(SandboxState::kStopped, SandboxEvent::kStopRequested) ==
              SandboxState::kStopped);
static_assert(!NextState(SandboxState::kStopped, SandboxEvent::kAgentReady));
static_assert(!NextState(SandboxState::kReady, SandboxEvent::kTornDown));

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_RECORD_SANDBOX_STATE_H_
