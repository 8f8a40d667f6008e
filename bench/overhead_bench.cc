// How much memory a guest needs beside what its containers can have: for VMs of
// several sizes, the difference between their RAM and the most that a container
// without a limit was charged before the guest itself had no more.
//
// What guest_overhead_memory follows from, see docs/adr/0011. Prints.

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "absl/time/clock.h"
#include "hotplug/filler_vm.h"
#include "hotplug/hotplug_vm.h"
#include "hotplug/vm_resizer.h"

namespace podvisor::bench {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

template <typename T>
T Check(absl::StatusOr<T> result) {
  if (!result.ok()) {
    fprintf(stderr, "%s\n", result.status().ToString().c_str());
    abort();
  }
  return *std::move(result);
}

void Measure(int64_t base_mib, int64_t plugged_mib, bool tmpfs) {
  const absl::Time deadline = absl::Now() + absl::Seconds(120);
  const auto filler = Check(FillerVm::Start({.boot_bytes = base_mib * kMiB}));
  VmResizer resizer =
      filler->vm().Resizer(filler->vm().Limits(VcpuUnplug::kPark));
  const VmSize size = {1, (base_mib + plugged_mib) * kMiB};
  const VmState before = Check(resizer.Observe(deadline));
  Check(resizer.Grow(before, size, size, deadline));
  const GuestSize guest = Check(filler->vm().agent().Observe(deadline));
  const EndlessFill fill = Check(filler->FillWithoutEnd(tmpfs));
  const int64_t ram = (base_mib + plugged_mib) * kMiB;
  printf(
      "base %4ld MiB, plugged %4ld MiB, %-9s: available %4ld MiB, a container "
      "got %4ld MiB, the guest needs %3ld MiB%s\n",
      static_cast<long>(base_mib), static_cast<long>(plugged_mib),
      tmpfs ? "tmpfs" : "anonymous",
      static_cast<long>(guest.memory_available_bytes / kMiB),
      static_cast<long>(fill.peak_bytes / kMiB),
      static_cast<long>((ram - fill.peak_bytes) / kMiB),
      fill.by_own_cgroup ? " (stopped by its cgroup?)" : "");
  fflush(stdout);
}

int Main() {
  for (const bool tmpfs : {false, true}) {
    for (const int64_t base_mib : {256, 1024}) {
      for (const int64_t plugged_mib : {128, 1024, 4096}) {
        Measure(base_mib, plugged_mib, tmpfs);
      }
    }
  }
  return 0;
}

}  // namespace
}  // namespace podvisor::bench

int main() { return podvisor::bench::Main(); }
