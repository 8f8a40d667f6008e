#ifndef PODVISOR_SANDBOX_PARTS_GUEST_RECOVERY_H_
#define PODVISOR_SANDBOX_PARTS_GUEST_RECOVERY_H_

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "sandbox/parts/pod_accounting.h"
#include "sandbox/parts/pod_containers.h"
#include "sandbox/parts/pod_guest.h"
#include "sandbox/parts/pod_output.h"
#include "sandbox/parts/stored_pod.h"
#include "sandbox/parts/wanted_size.h"

namespace podvisor {

// What RecoverGuest() works on; all borrowed.
struct GuestRecoveryParts {
  Clock* clock = nullptr;
  const StoredPod* pod = nullptr;
  const PodContainers* containers = nullptr;
  PodGuest* guest = nullptr;
  PodOutput* output = nullptr;
  const WantedSize* wanted = nullptr;
  PodAccounting* accounting = nullptr;
};

// Asks the guest of an adopted VM what there is, and makes what is recorded of
// its containers true again: those that it does not know have ended, what runs
// has a reader for its output, and what has no record is deleted there.
//
// For whoever holds the pod's operation lock. Errors: the agent's; may be
// called again, and does nothing twice.
absl::Status RecoverGuest(const GuestRecoveryParts& parts, absl::Time deadline);

// A container that nobody saw ending. The code is the one that other runtimes
// give, so that nobody takes it for the container's own.
inline constexpr int kUnknownExitCode = 255;

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_PARTS_GUEST_RECOVERY_H_
