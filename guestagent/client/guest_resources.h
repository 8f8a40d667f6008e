#ifndef PODVISOR_GUESTAGENT_CLIENT_GUEST_RESOURCES_H_
#define PODVISOR_GUESTAGENT_CLIENT_GUEST_RESOURCES_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace podvisor {

// What the guest's kernel says it has. Bytes.
struct GuestSize {
  int cpus_online = 0;
  int cpus_present = 0;
  int64_t memory_total_bytes = 0;          // MemTotal now
  int64_t memory_total_at_boot_bytes = 0;  // MemTotal when the agent started
  int64_t memory_available_bytes = 0;
  int64_t memory_block_bytes = 0;
  // In use for nothing, not even as cache.
  int64_t memory_free_bytes = 0;

  bool operator==(const GuestSize&) const = default;
};

// The agent's face towards hotplug/: CPUs and memory as the guest sees them.
//
// Thread-safe. Untrusted peer: sizes are clamped to what is possible, a reply
// that makes no sense is DataLoss.
//
// Errors of all methods: Unavailable (no agent), DeadlineExceeded.
class GuestResources {
 public:
  virtual ~GuestResources() = default;

  virtual absl::StatusOr<GuestSize> Observe(absl::Time deadline) = 0;

  // Brings CPUs online or offline until exactly `count` are online, and waits
  // for CPUs that are still arriving. DeadlineExceeded when the guest does not
  // get there; what it has then is found with Observe().
  virtual absl::StatusOr<GuestSize> SetOnlineCpus(int count,
                                                  absl::Time deadline) = 0;

  // Waits until MemTotal is at least (at most) `memory_total_bytes`.
  virtual absl::StatusOr<GuestSize> AwaitMemoryAtLeast(
      int64_t memory_total_bytes, absl::Time deadline) = 0;
  virtual absl::StatusOr<GuestSize> AwaitMemoryAtMost(
      int64_t memory_total_bytes, absl::Time deadline) = 0;

  // Makes the guest drop cache until it has this much free, or has tried: what
  // came of it is in the reply.
  virtual absl::StatusOr<GuestSize> ReclaimMemory(int64_t memory_free_bytes,
                                                  absl::Time deadline) = 0;
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_CLIENT_GUEST_RESOURCES_H_
