#ifndef PODVISOR_GUESTAGENT_AGENT_MEMORY_RECLAIM_H_
#define PODVISOR_GUESTAGENT_AGENT_MEMORY_RECLAIM_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "guestagent/agent/memory_view.h"

namespace podvisor {

// Makes the kernel drop page cache of the containers, coldest first, so that
// memory that is about to be unplugged holds less that would have to move.
// Thread-safe.
class MemoryReclaim {
 public:
  // `memory` outlives this. `cgroup` is the directory of the cgroup that all
  // containers are in, and whose own memory.reclaim (Linux 5.19) is written.
  MemoryReclaim(const MemoryView* memory, std::string cgroup);

  // Until `free_bytes` are free, nothing more can be had, or the time is over:
  // all of these are OK, and how it ended is seen at MemoryView. So is a kernel
  // without memory.reclaim and a guest without containers. Never takes more
  // than is missing. Cancelled.
  absl::Status FreeUpTo(int64_t free_bytes, absl::Duration timeout,
                        const std::function<bool()>& cancelled) const;

 private:
  const MemoryView* const memory_;
  const std::string path_;
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_MEMORY_RECLAIM_H_
