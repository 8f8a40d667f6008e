#ifndef PODVISOR_GUESTAGENT_AGENT_OPEN_FILES_H_
#define PODVISOR_GUESTAGENT_AGENT_OPEN_FILES_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "absl/types/span.h"
#include "base/deadline.h"

namespace podvisor {

struct OpenFiles {
  uint64_t descriptors = 0;
  uint64_t sockets = 0;  // of the descriptors

  bool operator==(const OpenFiles&) const = default;
};

// What the processes have open, each descriptor of each process counted once.
// A process can have a million of them: nullopt where there are more than
// `max_looks` processes and descriptors together, or it is `deadline` before
// all are counted. No file is opened, so none can hold the caller up. A process
// that is gone has nothing open. `proc` is /proc.
std::optional<OpenFiles> CountOpenFiles(const std::string& proc,
                                        absl::Span<const pid_t> processes,
                                        uint64_t max_looks, Deadline deadline);

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_OPEN_FILES_H_
