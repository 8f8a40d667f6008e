#ifndef PODVISOR_GUESTAGENT_AGENT_HOST_SEED_H_
#define PODVISOR_GUESTAGENT_AGENT_HOST_SEED_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace podvisor {

// Credits the host's random bytes to the kernel and makes it reseed at once: a
// guest restored from a template otherwise draws the same numbers as its
// siblings. Writing to /dev/urandom is not enough. InvalidArgument for fewer
// than 16 or more than 256 bytes.
absl::Status AddHostEntropy(absl::string_view entropy);

// True when the guest's clock is so far off that it is to be stepped. A small
// difference is the message's way here. Pure.
bool ClockNeedsStep(absl::Time guest, absl::Time host);

// Sets the wall clock to the host's, if it needs to be. InvalidArgument for a
// time that no host shows.
absl::Status AdoptHostTime(absl::Time host);

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_HOST_SEED_H_
