#include "hotplug/dimm_plan.h"

#include <algorithm>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"

namespace podvisor {
namespace {

constexpr int64_t kPagesPerDescriptorPage = 4096 / 64;

int64_t BlockBytes(const VmLimits& limits, const VmState& state) {
  return std::max(limits.memory_block_bytes, state.guest_block_bytes);
}

// The kernel keeps page descriptors in memory that was there at boot: what is
// plugged comes online in the zone that it can leave again (ZONE_MOVABLE), and
// is for user programs only. Seen on Linux 6.1: with 25 MiB available 512 MiB
// came, 522 MiB were available then, and 7 GiB more did not come.
int64_t ForTheKernel(const VmState& state) {
  if (state.guest_boot_bytes <= 0) return state.guest_available_bytes;
  return std::min(state.guest_available_bytes, state.guest_boot_bytes);
}

std::vector<int> FreeSlots(const VmLimits& limits, const VmState& state) {
  std::vector<int> free;
  for (int slot = 0; slot < limits.memory_slots; ++slot) {
    const bool taken = absl::c_any_of(
        state.dimms, [&](const Dimm& dimm) { return dimm.slot == slot; });
    if (!taken) free.push_back(slot);
  }
  return free;
}

int64_t LargestPowerOfTwo(int64_t most) {
  int64_t power = 1;
  while (power <= most / 2) power *= 2;
  return power;
}

// Sizes in blocks. `coins` is how many DIMMs may be spent on being removable;
// what is left goes into as few as `carried` allows.
std::vector<int64_t> SplitBlocks(int64_t blocks, int64_t carried, int coins) {
  std::vector<int64_t> sizes;
  for (; blocks > 0; --coins) {
    const int64_t most = std::min(blocks, carried);
    sizes.push_back(coins > 1 ? LargestPowerOfTwo(most) : most);
    blocks -= sizes.back();
  }
  return sizes;
}

}  // namespace

int64_t CarriedBytes(const VmLimits& limits, const VmState& state) {
  const int64_t block = BlockBytes(limits, state);
  const int64_t descriptors = std::max<int64_t>(0, ForTheKernel(state) / 2);
  // No VM is that large; it keeps the product in range.
  const int64_t most = int64_t{1} << 50;
  return std::min(descriptors, most / kPagesPerDescriptorPage) *
         kPagesPerDescriptorPage / block * block;
}

absl::StatusOr<std::vector<Dimm>> ChooseDimms(const VmLimits& limits,
                                              const VmState& state,
                                              int64_t bytes) {
  const int64_t block = BlockBytes(limits, state);
  const int64_t blocks = bytes / block + (bytes % block == 0 ? 0 : 1);
  if (blocks * block > MaxHotplugBytes(limits) - state.hotplug_plugged_bytes) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "memory: ", blocks, " more blocks of ", block,
        " bytes would pass the maximum of ", limits.max_memory_bytes));
  }
  const int64_t carried = CarriedBytes(limits, state) / block;
  if (carried == 0) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "memory: with ", state.guest_available_bytes,
        " bytes available the guest cannot hold the page descriptors of ",
        block, " more"));
  }
  const std::vector<int> slots = FreeSlots(limits, state);
  const int coins = limits.dimm_unplug ? static_cast<int>(slots.size()) / 2 : 0;
  std::vector<int64_t> sizes = SplitBlocks(blocks, carried, coins);
  // Growing at all comes before giving back in small coins.
  if (sizes.size() > slots.size()) sizes = SplitBlocks(blocks, carried, 0);
  if (sizes.size() > slots.size()) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "memory: ", bytes, " bytes need ", sizes.size(), " DIMMs, and ",
        slots.size(), " of ", limits.memory_slots, " slots are free"));
  }
  std::vector<Dimm> dimms;
  for (size_t i = 0; i < sizes.size(); ++i) {
    dimms.push_back({.slot = slots[i], .bytes = sizes[i] * block});
  }
  return dimms;
}

std::vector<Dimm> SpareDimms(const VmLimits& limits,
                             const std::vector<Dimm>& dimms,
                             int64_t hotplug_bytes) {
  if (!limits.dimm_unplug) return {};
  std::vector<Dimm> sorted = dimms;
  absl::c_stable_sort(
      sorted, [](const Dimm& a, const Dimm& b) { return a.bytes > b.bytes; });
  int64_t excess = -hotplug_bytes;
  for (const Dimm& dimm : dimms) excess += dimm.bytes;
  std::vector<Dimm> spare;
  for (const Dimm& dimm : sorted) {
    if (dimm.bytes > excess) continue;
    excess -= dimm.bytes;
    spare.push_back(dimm);
  }
  return spare;
}

}  // namespace podvisor
