#ifndef PODVISOR_SANDBOX_VM_VM_USAGE_H_
#define PODVISOR_SANDBOX_VM_VM_USAGE_H_

#include <cstdint>
#include <map>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/process.h"

namespace podvisor {

// What a process of a VM costs the host, from proc(5).
struct ProcessUsage {
  absl::Duration time;  // user and system, also of threads that have ended
  // Of the threads that run the guest now, by thread id; QEMU's only.
  std::map<int, absl::Duration> vcpu_times;
  int64_t rss_bytes = 0;
  int64_t pss_bytes = 0;  // shared pages counted by share
};

// NotFound when the process is gone. Costs well under a millisecond for each
// gigabyte that is mapped; never asks QEMU.
absl::StatusOr<ProcessUsage> MeasureProcess(const ProcessIdentity& process);

// Pure parsers of what /proc says; DataLoss for text that is not that.

struct ThreadTime {
  bool is_vcpu = false;  // QEMU names such threads "CPU <n>/<accelerator>"
  absl::Duration time;   // user and system
};
// Of one /proc/PID/task/TID/stat, or of a whole /proc/PID/stat, with
// `ticks_per_second` of sysconf(3).
absl::StatusOr<ThreadTime> ParseThreadStat(absl::string_view text,
                                           int64_t ticks_per_second);
// The "Rss:" and "Pss:" lines of /proc/PID/smaps_rollup, into bytes.
absl::StatusOr<ProcessUsage> ParseSmapsRollup(absl::string_view text);

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_VM_VM_USAGE_H_
