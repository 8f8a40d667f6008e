#ifndef PODVISOR_GUESTAGENT_AGENT_CONTAINER_LAYER_USAGE_H_
#define PODVISOR_GUESTAGENT_AGENT_CONTAINER_LAYER_USAGE_H_

#include <cstdint>
#include <string>

#include "base/deadline.h"

namespace podvisor {

struct LayerUsage {
  uint64_t bytes = 0;  // allocated blocks
  uint64_t inodes = 0;
  // False when the walk stopped at its bound: then both are too small.
  bool complete = true;

  bool operator==(const LayerUsage&) const = default;
};

// What lies in and below the directory `root`, by a walk that follows no link,
// stays in its file system, sees at most `max_entries` entries and takes no
// longer than until `deadline`. A missing directory is empty. A file with
// several names counts once for each: the walk keeps no table.
LayerUsage MeasureLayer(const std::string& root, uint64_t max_entries,
                        Deadline deadline);

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_CONTAINER_LAYER_USAGE_H_
