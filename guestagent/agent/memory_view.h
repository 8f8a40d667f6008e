#ifndef PODVISOR_GUESTAGENT_AGENT_MEMORY_VIEW_H_
#define PODVISOR_GUESTAGENT_AGENT_MEMORY_VIEW_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace podvisor {

struct MemorySize {
  // MemTotal, and what of the plugged memory holds its own page descriptors:
  // with memory_hotplug.memmap_on_memory they are there, and not for others.
  int64_t total_bytes = 0;
  int64_t available_bytes = 0;
  int64_t free_bytes = 0;

  bool operator==(const MemorySize&) const = default;
};

// From the text of /proc/meminfo, as it says. DataLoss when a line is missing.
// Pure.
absl::StatusOr<MemorySize> ParseMeminfo(absl::string_view text);

// The guest's memory as its kernel counts it. Thread-safe.
class MemoryView {
 public:
  // `proc` and `sys` are the mount points, others in tests. What is online now
  // is no plugged memory.
  MemoryView(std::string proc, std::string sys);

  absl::StatusOr<MemorySize> Observe() const;

  // The unit in which the kernel plugs memory; 0 when it cannot.
  int64_t BlockBytes() const;

  // Brings memory blocks online that have been plugged and that the kernel
  // did not bring online itself, as movable: they can be taken away again.
  // Returns how many. The first block that refuses ends it with its error.
  absl::StatusOr<int> OnlineNewBlocks() const;

  // Waits until the total is at least (at most) `total_bytes`; brings blocks
  // online meanwhile (never when shrinking: the kernel takes blocks offline
  // then). Returns the size that was waited for: while blocks go, the kernel
  // may count one again the next moment. DeadlineExceeded, Cancelled.
  absl::StatusOr<MemorySize> AwaitAtLeast(
      int64_t total_bytes, absl::Duration timeout,
      const std::function<bool()>& cancelled) const;
  absl::StatusOr<MemorySize> AwaitAtMost(
      int64_t total_bytes, absl::Duration timeout,
      const std::function<bool()>& cancelled) const;

 private:
  // Of blocks plugged since; 0 where the kernel keeps none in them.
  int64_t DescriptorBytes(int64_t mem_total_bytes) const;
  int64_t OnlineBytes() const;

  const std::string proc_;
  const std::string sys_;
  const bool self_described_;
  const int64_t online_at_start_;
  const int64_t total_at_start_;
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_MEMORY_VIEW_H_
