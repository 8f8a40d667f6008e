#include "sandbox/parts/cpu_time.h"

#include <algorithm>

namespace podvisor {

void CpuTime::Observe(const ProcessUsage& qemu) {
  for (const auto& [id, now] : qemu.vcpu_times) {
    const auto known = last_.find(id);
    absl::Duration before =
        known == last_.end() ? absl::ZeroDuration() : known->second;
    // Another thread with the id of one that has ended.
    if (now < before) before = absl::ZeroDuration();
    vcpus_ += now - before;
  }
  last_ = qemu.vcpu_times;
  // The process and its threads are read one after the other, in ticks.
  vmm_ = std::max(vmm_, qemu.time - vcpus_);
}

}  // namespace podvisor
