#ifndef PODVISOR_GUESTAGENT_AGENT_WRITE_OR_STOP_H_
#define PODVISOR_GUESTAGENT_AGENT_WRITE_OR_STOP_H_

#include <array>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace podvisor {

// Writes all of `data` to a non-blocking descriptor, waiting while it is full,
// without a deadline: until one of `stop_fds` (-1: none) can be read, which is
// Cancelled. Unavailable: nobody reads at the other end.
//
// Blocks SIGPIPE for the calling thread, for good.
absl::Status WriteOrStop(int fd, absl::string_view data,
                         std::array<int, 2> stop_fds);

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_WRITE_OR_STOP_H_
