#ifndef PODVISOR_HOTPLUG_DIMM_PLAN_H_
#define PODVISOR_HOTPLUG_DIMM_PLAN_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "hotplug/vm_limits.h"
#include "hotplug/vm_size.h"

namespace podvisor {

// Which DIMMs to add and which to remove. All pure.

// How much memory the guest can take at once: it needs the descriptors of the
// new pages, 64 bytes for 4096 (Linux, struct page), before it can use the
// first of them. Half of what is available is left to the guest, and memory
// that was plugged holds none of them. A multiple of the guest's block, so 0
// for a guest that cannot carry a single one.
int64_t CarriedBytes(const VmLimits& limits, const VmState& state);

// DIMMs for the lowest free slots, in the order in which they are to be added,
// of at least `bytes` together (more where the guest's block is larger than
// that of the limits), none larger than CarriedBytes(). Where whole DIMMs can
// be removed again, sizes are powers of two of the block, as coins are, as far
// as half of the free slots goes: then most sizes below can be given back.
//
// ResourceExhausted when the slots, the maximum or the guest's free memory do
// not allow it, naming which.
absl::StatusOr<std::vector<Dimm>> ChooseDimms(const VmLimits& limits,
                                              const VmState& state,
                                              int64_t bytes);

// DIMMs that are not needed for `hotplug_bytes`, largest first. Empty where
// DIMMs are never removed.
std::vector<Dimm> SpareDimms(const VmLimits& limits,
                             const std::vector<Dimm>& dimms,
                             int64_t hotplug_bytes);

}  // namespace podvisor

#endif  // PODVISOR_HOTPLUG_DIMM_PLAN_H_
