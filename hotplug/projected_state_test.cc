#include "hotplug/projected_state.h"

#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace podvisor {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kGiB = int64_t{1} << 30;

VmLimits Limits() {
  VmLimits limits;
  limits.max_vcpus = 8;
  limits.boot_memory_bytes = kGiB;
  limits.max_memory_bytes = 9 * kGiB;
  limits.memory_slots = 10;
  return limits;
}

VmState Booted() {
  VmState state;
  state.vcpus_plugged = 1;
  state.vcpus_online = 1;
  state.guest_available_bytes = 512 * kMiB;
  return state;
}

VmState After(const VmLimits& limits, const VmState& state,
              const VmSize& target) {
  return StateAfter(PlanResize(limits, state, target).value(), state);
}

TEST(ProjectedStateTest, AGrowPlugsAndOnlinesAllOfIt) {
  const VmState grown = After(Limits(), Booted(), {4, 3 * kGiB});

  const VmState expected = {.vcpus_plugged = 4,
                            .vcpus_removable = 3,
                            .vcpus_online = 4,
                            .hotplug_requested_bytes = 2 * kGiB,
                            .hotplug_plugged_bytes = 2 * kGiB,
                            .hotplug_online_bytes = 2 * kGiB,
                            .guest_available_bytes = 2 * kGiB + 512 * kMiB,
                            .guest_free_bytes = 2 * kGiB};
  EXPECT_EQ(grown, expected);
}

TEST(ProjectedStateTest, ParkedVcpusStayPluggedAndRemovedOnesDoNot) {
  VmLimits device = Limits();
  device.vcpu_unplug = VcpuUnplug::kDevice;
  const VmState grown = After(Limits(), Booted(), {4, kGiB});

  EXPECT_EQ(After(Limits(), grown, {1, kGiB}).vcpus_plugged, 4);
  EXPECT_EQ(After(device, grown, {1, kGiB}), Booted());
}

TEST(ProjectedStateTest, DimmsTakeSlotsAndFreeThem) {
  VmLimits limits = Limits();
  limits.memory_device = MemoryDevice::kPcDimm;
  limits.dimm_unplug = true;

  const VmState grown = After(limits, Booted(), {1, 4 * kGiB});

  EXPECT_EQ(grown.dimms, (std::vector<Dimm>{{0, 2 * kGiB}, {1, kGiB}}));
  EXPECT_EQ(grown.hotplug_online_bytes, 3 * kGiB);
  EXPECT_EQ(After(limits, grown, {1, kGiB}), Booted());
}

// Whatever the size and the device: a plan that has worked leaves nothing to
// do.
TEST(ProjectedStateTest, AfterAPlanItsTargetIsReached) {
  std::mt19937_64 random(7);
  const auto pick = [&](int64_t least, int64_t most) {
    return std::uniform_int_distribution<int64_t>(least, most)(random);
  };
  for (int i = 0; i < 20'000; ++i) {
    VmLimits limits = Limits();
    limits.memory_device =
        pick(0, 1) == 0 ? MemoryDevice::kVirtioMem : MemoryDevice::kPcDimm;
    limits.dimm_unplug = pick(0, 1) == 1;
    limits.vcpu_unplug =
        pick(0, 1) == 0 ? VcpuUnplug::kPark : VcpuUnplug::kDevice;
    VmState state = Booted();
    for (int step = 0; step < 4; ++step) {
      const VmSize target = {static_cast<int>(pick(1, 8)),
                             kGiB + pick(0, 64) * limits.memory_block_bytes};
      const auto plan = PlanResize(limits, state, target);
      if (!plan.ok()) continue;  // the slots are used up
      state = StateAfter(*plan, state);
      EXPECT_EQ(state.vcpus_online, target.vcpus);
      EXPECT_TRUE(PlanResize(limits, state, target)->empty());
    }
  }
}

}  // namespace
}  // namespace podvisor
