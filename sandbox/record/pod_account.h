#ifndef PODVISOR_SANDBOX_RECORD_POD_ACCOUNT_H_
#define PODVISOR_SANDBOX_RECORD_POD_ACCOUNT_H_

#include <algorithm>
#include <cstdint>

namespace podvisor {

// The memory of one pod on its host: the most that its VM can use, and what the
// pod is accounted for. Bytes; a value.
struct PodAccount {
  int64_t guest_bytes = 0;     // RAM of the guest
  int64_t vmm_bytes = 0;       // the VMM's own
  int64_t limit_bytes = 0;     // of the whole pod; 0: none, nothing to exceed
  int64_t overhead_bytes = 0;  // RuntimeClass overhead.podFixed

  // By how much the VM can exceed the account.
  int64_t excess_bytes() const {
    // All four are at most 2^62.
    if (limit_bytes == 0) return 0;
    return std::max<int64_t>(
        0, (guest_bytes - limit_bytes) + (vmm_bytes - overhead_bytes));
  }

  bool operator==(const PodAccount&) const = default;
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_RECORD_POD_ACCOUNT_H_
