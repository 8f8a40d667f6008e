// What holds for every plan, from any state to any target. The seed is printed;
// PODVISOR_SEED=<seed> runs the same cases again.

#include <algorithm>
#include <cstdint>
#include <iostream>
#include <random>
#include <variant>
#include <vector>

#include "gtest/gtest.h"
#include "hotplug/dimm_plan.h"
#include "hotplug/property_seed.h"
#include "hotplug/resize_plan.h"

namespace podvisor {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kGiB = int64_t{1} << 30;
constexpr int64_t kBlock = 128 * kMiB;

VmLimits SmallLimits(VcpuUnplug unplug) {
  VmLimits limits;
  limits.boot_vcpus = 1;
  limits.max_vcpus = 4;
  limits.boot_memory_bytes = kGiB;
  limits.max_memory_bytes = kGiB + 3 * kBlock;
  limits.memory_block_bytes = kBlock;
  limits.vcpu_unplug = unplug;
  return limits;
}

// What a shrink has to leave available in a guest.
int64_t RoomIn(const VmState& state) {
  return state.guest_boot_bytes > 0
             ? std::min(kRoomToMoveBytes, state.guest_boot_bytes / 4)
             : kRoomToMoveBytes;
}

// A VM that does what a step says.
class ModelVm {
 public:
  ModelVm(const VmLimits& limits, const VmState& state)
      : limits_(limits),
        state_(state),
        carried_(CarriedBytes(limits, state)),
        boot_vcpus_(state.vcpus_plugged - state.vcpus_removable),
        dimms_on_their_way_(state.hotplug_plugged_bytes -
                            state.hotplug_online_bytes) {}

  const VmState& state() const { return state_; }

  void operator()(const RequestMemory& step) {
    ASSERT_GE(step.hotplug_bytes, 0);
    ASSERT_LE(step.hotplug_bytes, MaxHotplugBytes(limits_));
    ASSERT_EQ(step.hotplug_bytes % limits_.memory_block_bytes, 0);
    state_.hotplug_requested_bytes = step.hotplug_bytes;
  }
  void operator()(const PlugDimm& step) {
    ASSERT_GE(step.dimm.slot, 0);
    ASSERT_LT(step.dimm.slot, limits_.memory_slots);
    for (const Dimm& dimm : state_.dimms) ASSERT_NE(dimm.slot, step.dimm.slot);
    ASSERT_GT(step.dimm.bytes, 0);
    ASSERT_EQ(step.dimm.bytes % std::max(limits_.memory_block_bytes,
                                         state_.guest_block_bytes),
              0);
    // The guest must hold the page descriptors of all that are on their way.
    // What came counts for nothing: user programs get it, the kernel does not.
    dimms_on_their_way_ += step.dimm.bytes;
    ASSERT_LE(dimms_on_their_way_, carried_);
    state_.dimms.push_back(step.dimm);
    CountDimms();
    ASSERT_LE(state_.hotplug_plugged_bytes, MaxHotplugBytes(limits_));
  }
  void operator()(const UnplugDimm& step) {
    ASSERT_TRUE(limits_.dimm_unplug);
    ASSERT_EQ(
        std::erase_if(state_.dimms,
                      [&](const Dimm& dimm) { return dimm.slot == step.slot; }),
        1u);
    const int64_t available = state_.guest_available_bytes;
    CountDimms();
    ExpectRoomLeft(available);
  }
  void operator()(const PlugVcpus& step) {
    ASSERT_GT(step.vcpus, state_.vcpus_plugged);
    ASSERT_LE(step.vcpus, limits_.max_vcpus);
    state_.vcpus_removable += step.vcpus - state_.vcpus_plugged;
    state_.vcpus_plugged = step.vcpus;
  }
  void operator()(const OnlineVcpus& step) {
    ASSERT_GT(step.vcpus, state_.vcpus_online);
    ASSERT_LE(step.vcpus, state_.vcpus_plugged);
    state_.vcpus_online = step.vcpus;
  }
  void operator()(const AwaitMemoryGrown& step) {
    ASSERT_LE(step.hotplug_bytes, state_.hotplug_requested_bytes);
    FollowMemory();
    dimms_on_their_way_ = 0;
  }
  void operator()(const OfflineVcpus& step) {
    ASSERT_LT(step.vcpus, state_.vcpus_online);
    ASSERT_GE(step.vcpus, limits_.boot_vcpus);
    state_.vcpus_online = step.vcpus;
  }
  void operator()(const ReclaimMemory& step) {
    ASSERT_GT(step.free_bytes, state_.guest_free_bytes);
    ASSERT_LE(step.free_bytes, state_.hotplug_plugged_bytes + kRoomToMoveBytes);
    state_.guest_free_bytes = step.free_bytes;
  }
  void operator()(const UnplugVcpus& step) {
    ASSERT_EQ(limits_.vcpu_unplug, VcpuUnplug::kDevice);
    ASSERT_GE(step.vcpus, boot_vcpus_);
    ASSERT_GE(step.vcpus, state_.vcpus_online);
    ASSERT_LT(step.vcpus, state_.vcpus_plugged);
    state_.vcpus_removable -= state_.vcpus_plugged - step.vcpus;
    state_.vcpus_plugged = step.vcpus;
  }
  void operator()(const AwaitMemoryShrunk& step) {
    ASSERT_EQ(step.hotplug_bytes, state_.hotplug_requested_bytes);
    const int64_t available = state_.guest_available_bytes;
    FollowMemory();
    ExpectRoomLeft(available);
  }

  // The guest follows in its own time: some of the way, or all of it.
  void FollowMemory(double part = 1.0) {
    const auto follow = [&](int64_t& bytes, int64_t goal) {
      const int64_t blocks =
          static_cast<int64_t>((goal - bytes) / kBlock * part);
      bytes = part == 1.0 ? goal : bytes + blocks * kBlock;
    };
    follow(state_.hotplug_plugged_bytes, state_.hotplug_requested_bytes);
    int64_t online = state_.hotplug_online_bytes;
    follow(online, state_.hotplug_plugged_bytes);
    SetOnline(std::min(online, state_.hotplug_plugged_bytes));
  }

 private:
  // With memory come and go the descriptors of its pages.
  void SetOnline(int64_t bytes) {
    const int64_t change = bytes - state_.hotplug_online_bytes;
    state_.hotplug_online_bytes = bytes;
    state_.guest_available_bytes += change - change / 64;
  }
  void ExpectRoomLeft(int64_t available_before) {
    ASSERT_GE(state_.guest_available_bytes,
              std::min(available_before, RoomIn(state_)));
  }
  void CountDimms() {
    state_.hotplug_plugged_bytes = 0;
    for (const Dimm& dimm : state_.dimms) {
      state_.hotplug_plugged_bytes += dimm.bytes;
    }
    state_.hotplug_requested_bytes = state_.hotplug_plugged_bytes;
    SetOnline(
        std::min(state_.hotplug_online_bytes, state_.hotplug_plugged_bytes));
  }

  const VmLimits limits_;
  VmState state_;
  const int64_t carried_;
  const int boot_vcpus_;
  int64_t dimms_on_their_way_;
};

class RandomVms {
 public:
  explicit RandomVms(uint64_t seed) : random_(seed) {}

  int Between(int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(random_);
  }
  int64_t Blocks(int64_t max) { return kBlock * Between(0, max / kBlock); }
  double Part() {
    return std::uniform_real_distribution<double>(0, 1)(random_);
  }

  VmLimits AnyLimits() {
    VmLimits limits = SmallLimits(Between(0, 1) == 0 ? VcpuUnplug::kPark
                                                     : VcpuUnplug::kDevice);
    limits.boot_vcpus = Between(1, 4);
    limits.max_vcpus = limits.boot_vcpus + Between(0, 12);
    limits.boot_memory_bytes = kMiB * Between(64, 4096);
    limits.max_memory_bytes =
        limits.boot_memory_bytes + kMiB * int64_t{Between(0, 1 << 20)};
    if (Between(0, 1) == 0) {
      limits.memory_device = MemoryDevice::kPcDimm;
      limits.memory_slots = Between(1, 16);
      limits.dimm_unplug = Between(0, 1) == 0;
    }
    return limits;
  }
  VmSize AnyTarget(const VmLimits& limits) {
    return {Between(limits.boot_vcpus, limits.max_vcpus),
            limits.boot_memory_bytes + Blocks(MaxHotplugBytes(limits))};
  }
  // Off the block, below the boot size, above the maximum, or near 2^63.
  VmSize ImpossibleTarget(const VmLimits& limits) {
    VmSize target = AnyTarget(limits);
    switch (Between(0, 5)) {
      case 0:
        target.vcpus = limits.boot_vcpus - Between(1, 5);
        break;
      case 1:
        target.vcpus = limits.max_vcpus + Between(1, 1 << 30);
        break;
      case 2:
        target.memory_bytes -= target.memory_bytes + Between(0, 1 << 30);
        break;
      case 3:
        target.memory_bytes += Between(1, kBlock - 1);
        break;
      case 4:
        target.memory_bytes = limits.boot_memory_bytes +
                              MaxHotplugBytes(limits) +
                              kBlock * Between(1, 1 << 20);
        break;
      default:
        target.memory_bytes = INT64_MAX - Between(0, 1 << 30);
    }
    return target;
  }
  VmState AnyState(const VmLimits& limits) {
    VmState state;
    state.vcpus_plugged = Between(limits.boot_vcpus, limits.max_vcpus);
    state.vcpus_removable = state.vcpus_plugged - limits.boot_vcpus;
    state.vcpus_online = Between(0, state.vcpus_plugged);
    // As much as there is, or so little that it takes many steps.
    state.guest_available_bytes =
        Between(0, 3) > 0 ? 16 * kGiB : kMiB * int64_t{Between(0, 256)};
    state.guest_free_bytes = Blocks(state.guest_available_bytes);
    if (Between(0, 1) == 0) state.guest_boot_bytes = limits.boot_memory_bytes;
    if (limits.memory_device == MemoryDevice::kPcDimm) {
      state.guest_block_bytes = AnyGuestBlock();
      AddDimms(limits, state);
      return state;
    }
    state.hotplug_requested_bytes = Blocks(MaxHotplugBytes(limits));
    state.hotplug_plugged_bytes = Blocks(MaxHotplugBytes(limits));
    state.hotplug_online_bytes = Blocks(state.hotplug_plugged_bytes);
    if (Between(0, 9) == 0) {
      state.hotplug_plugged_bytes += 2 * kMiB;  // caught between two blocks
    }
    return state;
  }

 private:
  // What kernels have, and what a hostile guest may say.
  int64_t AnyGuestBlock() {
    constexpr int64_t kBlocks[] = {
        0,         kBlock,     kBlock,           512 * kMiB, 2 * kGiB,
        96 * kMiB, 192 * kMiB, int64_t{1} << 40, INT64_MAX,  -1};
    return kBlocks[Between(0, std::size(kBlocks) - 1)];
  }

  // In any slots, with holes, and now and then in all of them.
  void AddDimms(const VmLimits& limits, VmState& state) {
    const int one_in = Between(1, 4);
    for (int slot = 0; slot < limits.memory_slots; ++slot) {
      if (Between(1, one_in) > 1) continue;
      const int64_t room =
          MaxHotplugBytes(limits) - state.hotplug_plugged_bytes;
      const int64_t bytes = Blocks(room / 4);
      if (bytes == 0) continue;
      state.dimms.push_back({slot, bytes});
      state.hotplug_plugged_bytes += bytes;
    }
    state.hotplug_requested_bytes = state.hotplug_plugged_bytes;
    state.hotplug_online_bytes = Blocks(state.hotplug_plugged_bytes);
  }

  std::mt19937_64 random_;
};

// What is kept above the target is what the guest cannot do without.
void ExpectAsLittleAsCanBe(const VmLimits& limits, const VmState& state,
                           const VmSize& target) {
  const int64_t spare =
      std::max<int64_t>(0, state.guest_available_bytes - RoomIn(state));
  if (limits.memory_device == MemoryDevice::kPcDimm) {
    for (const Dimm& dimm :
         SpareDimms(limits, state.dimms,
                    target.memory_bytes - limits.boot_memory_bytes)) {
      ASSERT_GT(dimm.bytes, spare);
    }
  } else if (MemoryShortfall(limits, state, target) > 0) {
    ASSERT_LT(spare, kBlock);
  }
}

void ExpectReached(const VmLimits& limits, const VmState& state,
                   const VmSize& target) {
  const int64_t hotplug = target.memory_bytes - limits.boot_memory_bytes;
  ASSERT_EQ(state.vcpus_online, target.vcpus);
  ASSERT_GE(state.hotplug_plugged_bytes, hotplug);
  ASSERT_GE(state.hotplug_online_bytes, hotplug);
  if (limits.memory_device == MemoryDevice::kVirtioMem) {
    ASSERT_EQ(state.hotplug_requested_bytes, state.hotplug_plugged_bytes);
    ASSERT_EQ(state.hotplug_online_bytes, state.hotplug_plugged_bytes);
  }
  ExpectAsLittleAsCanBe(limits, state, target);
  if (limits.vcpu_unplug == VcpuUnplug::kDevice) {
    ASSERT_EQ(state.vcpus_plugged, target.vcpus);
  } else {
    ASSERT_GE(state.vcpus_plugged, target.vcpus);
  }
}

// No memory is added once a vCPU has been removed.
void ExpectSafeOrder(const VmState& before, const ResizePlan& plan) {
  bool removed = false;
  for (const ResizeStep& step : plan.steps) {
    removed = removed || std::holds_alternative<UnplugVcpus>(step);
    if (!removed) continue;
    ASSERT_FALSE(std::holds_alternative<PlugVcpus>(step));
    ASSERT_FALSE(std::holds_alternative<PlugDimm>(step));
    ASSERT_FALSE(std::holds_alternative<UnplugDimm>(step));
    if (const auto* request = std::get_if<RequestMemory>(&step)) {
      ASSERT_LE(request->hotplug_bytes, before.hotplug_plugged_bytes);
    }
  }
}

// Below the maximum only DIMMs can be refused: where the guest's block does not
// fit below it, the guest has no room for the descriptors of one, or slots run
// out.
void ExpectRefusedForGoodReason(const VmLimits& limits, const VmState& state,
                                const VmSize& target,
                                const absl::Status& refusal) {
  ASSERT_TRUE(absl::IsResourceExhausted(refusal)) << refusal;
  ASSERT_EQ(limits.memory_device, MemoryDevice::kPcDimm);
  const int64_t missing = target.memory_bytes - limits.boot_memory_bytes -
                          state.hotplug_plugged_bytes;
  ASSERT_GT(missing, 0);
  const int64_t block =
      std::max(limits.memory_block_bytes, state.guest_block_bytes);
  const int64_t blocks = missing / block + (missing % block == 0 ? 0 : 1);
  const int64_t room = MaxHotplugBytes(limits) - state.hotplug_plugged_bytes;
  const int64_t carried = CarriedBytes(limits, state) / block;
  const auto slots =
      limits.memory_slots - static_cast<int64_t>(state.dimms.size());
  ASSERT_TRUE(blocks > room / block || carried == 0 || blocks > slots * carried)
      << refusal;
}

TEST(PlanResizePropertyTest, AnyPlanReachesItsTargetAlsoAfterACrashAnywhere) {
  const uint64_t seed = PropertySeed();
  SCOPED_TRACE(testing::Message() << "PODVISOR_SEED=" << seed);
  RandomVms random(seed);
  int refused = 0;
  for (int i = 0; i < 200'000 && !testing::Test::HasFailure(); ++i) {
    const VmLimits limits = random.AnyLimits();
    const VmState before = random.AnyState(limits);
    const VmSize target = random.AnyTarget(limits);
    const auto plan = PlanResize(limits, before, target);
    if (!plan.ok()) {
      ExpectRefusedForGoodReason(limits, before, target, plan.status());
      ++refused;
      continue;
    }
    ASSERT_EQ(*plan, *PlanResize(limits, before, target));  // deterministic
    ASSERT_LE(plan->steps.size(), 6u + 2 * limits.memory_slots);
    ExpectSafeOrder(before, *plan);

    // Killed after some steps, while the guest is somewhere on its way.
    ModelVm crashed(limits, before);
    const int done = random.Between(0, static_cast<int>(plan->steps.size()));
    for (int step = 0; step < done; ++step) {
      std::visit(crashed, plan->steps[step]);
    }
    crashed.FollowMemory(random.Part());
    const auto rest = PlanResize(limits, crashed.state(), target);
    ASSERT_TRUE(rest.ok()) << rest.status();

    ModelVm vm(limits, crashed.state());
    for (const ResizeStep& step : rest->steps) std::visit(vm, step);
    // A guest whose block is larger than a DIMM that it has may be given more
    // than is missing, and then that DIMM is spare.
    const auto spare = PlanResize(limits, vm.state(), target);
    ASSERT_TRUE(spare.ok()) << spare.status();
    ASSERT_TRUE(spare->empty() || before.guest_block_bytes > kBlock);
    for (const ResizeStep& step : spare->steps) std::visit(vm, step);
    // A shrink that was stopped between two blocks ends at the next.
    vm.FollowMemory();
    ExpectReached(limits, vm.state(), target);
    ASSERT_TRUE(PlanResize(limits, vm.state(), target)->empty());
  }
  std::cout << refused << " refused" << std::endl;
  EXPECT_LT(refused, 80'000);
}

void ExpectNothingGivenBack(const VmState& before, const ResizePlan& plan) {
  for (const ResizeStep& step : plan.steps) {
    ASSERT_FALSE(std::holds_alternative<OfflineVcpus>(step));
    ASSERT_FALSE(std::holds_alternative<UnplugVcpus>(step));
    ASSERT_FALSE(std::holds_alternative<UnplugDimm>(step));
    ASSERT_FALSE(std::holds_alternative<AwaitMemoryShrunk>(step));
    if (const auto* request = std::get_if<RequestMemory>(&step)) {
      ASSERT_GE(request->hotplug_bytes, before.hotplug_requested_bytes);
    }
  }
}

TEST(PlanResizePropertyTest, AnyGrowReachesItsTargetAndGivesNothingBack) {
  const uint64_t seed = PropertySeed();
  SCOPED_TRACE(testing::Message() << "PODVISOR_SEED=" << seed);
  RandomVms random(seed);
  for (int i = 0; i < 100'000 && !testing::Test::HasFailure(); ++i) {
    const VmLimits limits = random.AnyLimits();
    const VmState before = random.AnyState(limits);
    const VmSize target = random.AnyTarget(limits);
    const auto plan = PlanGrow(limits, before, target);
    if (!plan.ok()) {
      ExpectRefusedForGoodReason(limits, before, target, plan.status());
      continue;
    }
    ExpectNothingGivenBack(before, *plan);

    ModelVm vm(limits, before);
    for (const ResizeStep& step : plan->steps) std::visit(vm, step);
    // All of what is under way has come, and all of it stays.
    vm.FollowMemory();
    ASSERT_GE(vm.state().vcpus_online, target.vcpus);
    ASSERT_GE(vm.state().hotplug_online_bytes,
              target.memory_bytes - limits.boot_memory_bytes);
    const auto again = PlanGrow(limits, vm.state(), target);
    ASSERT_TRUE(again.ok() && again->empty());
  }
}

TEST(PlanResizePropertyTest, NoPlanLeavesTheLimits) {
  const uint64_t seed = PropertySeed();
  SCOPED_TRACE(testing::Message() << "PODVISOR_SEED=" << seed);
  RandomVms random(seed);
  for (int i = 0; i < 20'000 && !testing::Test::HasFailure(); ++i) {
    const VmLimits limits = random.AnyLimits();
    const VmState before = random.AnyState(limits);
    const VmSize target = random.ImpossibleTarget(limits);

    ASSERT_FALSE(PlanResize(limits, before, target).ok());
    ASSERT_FALSE(PlanGrow(limits, before, target).ok());
  }
}

TEST(PlanResizePropertyTest, EveryPairOfSmallSizesIsReachedAndUndone) {
  for (const VcpuUnplug unplug : {VcpuUnplug::kPark, VcpuUnplug::kDevice}) {
    const VmLimits limits = SmallLimits(unplug);
    for (int i = 0; i < 256; ++i) {
      const VmSize from = {1 + i % 4, kGiB + i / 4 % 4 * kBlock};
      const VmSize to = {1 + i / 16 % 4, kGiB + i / 64 % 4 * kBlock};
      VmState boot;
      boot.vcpus_plugged = 1;
      boot.vcpus_online = 1;
      ModelVm vm(limits, boot);
      for (const VmSize& target : {from, to, from}) {
        const auto plan = PlanResize(limits, vm.state(), target);
        ASSERT_TRUE(plan.ok());
        for (const ResizeStep& step : plan->steps) std::visit(vm, step);
        ExpectReached(limits, vm.state(), target);
      }
    }
  }
}

}  // namespace
}  // namespace podvisor
