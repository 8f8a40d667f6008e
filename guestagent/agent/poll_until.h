#ifndef PODVISOR_GUESTAGENT_AGENT_POLL_UNTIL_H_
#define PODVISOR_GUESTAGENT_AGENT_POLL_UNTIL_H_

#include <functional>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace podvisor {

// Asks `done` until it says true (OK) or fails (its error), at first every
// millisecond, later every 20 ms. `done` is asked at least once, also with no
// time left; then DeadlineExceeded. Cancelled when `cancelled` says so.
//
// For what the kernel does not announce reliably: devices that are still
// arriving.
absl::Status PollUntil(absl::Duration timeout,
                       const std::function<bool()>& cancelled,
                       absl::FunctionRef<absl::StatusOr<bool>()> done);

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_POLL_UNTIL_H_
