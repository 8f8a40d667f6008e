#include "guestagent/agent/memory_reclaim.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/deadline.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"

namespace podvisor {
namespace {

// One write to memory.reclaim cannot be broken off; the time is looked at
// between two of them.
constexpr int64_t kStepBytes = int64_t{64} << 20;

}  // namespace

MemoryReclaim::MemoryReclaim(const MemoryView* memory, std::string cgroup)
    : memory_(memory), path_(absl::StrCat(cgroup, "/memory.reclaim")) {}

absl::Status MemoryReclaim::FreeUpTo(
    int64_t free_bytes, absl::Duration timeout,
    const std::function<bool()>& cancelled) const {
  const Deadline end = Deadline::After(timeout);
  const UniqueFd file(open(path_.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file.valid()) return absl::OkStatus();
  int64_t last_free = -1;
  while (true) {
    ASSIGN_OR_RETURN(const MemorySize size, memory_->Observe());
    const int64_t missing = free_bytes - size.free_bytes;
    // Without progress there is nothing left, or somebody takes it at once.
    if (missing <= 0 || size.free_bytes <= last_free) return absl::OkStatus();
    if (end.IsOver()) return absl::OkStatus();
    if (cancelled && cancelled()) return absl::CancelledError("cancelled");
    last_free = size.free_bytes;
    // EAGAIN: less than asked for; what it came to is looked at above.
    WriteAll(file.get(), absl::StrCat(std::min(missing, kStepBytes)))
        .IgnoreError();
  }
}

}  // namespace podvisor
