#include "hotplug/resize_plan.h"

#include <algorithm>
#include <cstdint>
#include <iostream>
#include <random>
#include <string>
#include <variant>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kGiB = int64_t{1} << 30;
constexpr int64_t kBlock = 128 * kMiB;

VmLimits Limits(VcpuUnplug unplug = VcpuUnplug::kPark) {
  VmLimits limits;
  limits.boot_vcpus = 1;
  limits.max_vcpus = 8;
  limits.boot_memory_bytes = kGiB;
  limits.max_memory_bytes = 9 * kGiB;
  limits.memory_block_bytes = kBlock;
  limits.vcpu_unplug = unplug;
  return limits;
}

// A VM of `vcpus` in use out of `plugged`, one of them since boot.
VmState State(int plugged, int online, int64_t hotplug_bytes) {
  VmState state;
  state.vcpus_plugged = plugged;
  state.vcpus_removable = plugged - 1;
  state.vcpus_online = online;
  state.hotplug_requested_bytes = hotplug_bytes;
  state.hotplug_plugged_bytes = hotplug_bytes;
  state.hotplug_online_bytes = hotplug_bytes;
  state.guest_free_bytes = hotplug_bytes + kRoomToMoveBytes;
  return state;
}

std::vector<ResizeStep> Steps(const VmLimits& limits, const VmState& state,
                              const VmSize& target) {
  const auto plan = PlanResize(limits, state, target);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan.ok() ? plan->steps : std::vector<ResizeStep>();
}

TEST(PlanResizeTest, AsksForMemoryAndVcpusBeforeItAwaitsEither) {
  EXPECT_THAT(Steps(Limits(), State(1, 1, 0), {4, 4 * kGiB}),
              ElementsAre(RequestMemory{3 * kGiB}, PlugVcpus{4}, OnlineVcpus{4},
                          AwaitMemoryGrown{3 * kGiB}));
}

TEST(PlanResizeTest, BringsParkedVcpusOnlineBeforeItPlugsNewOnes) {
  EXPECT_THAT(Steps(Limits(), State(4, 1, 0), {3, kGiB}),
              ElementsAre(OnlineVcpus{3}));
  EXPECT_THAT(Steps(Limits(), State(4, 1, 0), {5, kGiB}),
              ElementsAre(PlugVcpus{5}, OnlineVcpus{5}));
}

TEST(PlanResizeTest, ParksOrRemovesVcpusAndGivesMemoryBackLast) {
  const VmState state = State(4, 4, 3 * kGiB);

  EXPECT_THAT(
      Steps(Limits(VcpuUnplug::kPark), state, {1, kGiB}),
      ElementsAre(OfflineVcpus{1}, RequestMemory{0}, AwaitMemoryShrunk{0}));
  EXPECT_THAT(Steps(Limits(VcpuUnplug::kDevice), state, {1, kGiB}),
              ElementsAre(OfflineVcpus{1}, UnplugVcpus{1}, RequestMemory{0},
                          AwaitMemoryShrunk{0}));
}

TEST(PlanResizeTest, DropsCacheOnlyWhereLessIsFreeThanIsGivenBackAndMoved) {
  constexpr int64_t kRoom = kRoomToMoveBytes;
  struct Case {
    int64_t free_bytes;
    int64_t target_hotplug_bytes;
    std::vector<ResizeStep> steps;
  };
  for (const Case& c : std::vector<Case>{
           {3 * kGiB + kRoom, 0, {RequestMemory{0}, AwaitMemoryShrunk{0}}},
           {3 * kGiB + kRoom - 1,
            0,
            {ReclaimMemory{3 * kGiB + kRoom}, RequestMemory{0},
             AwaitMemoryShrunk{0}}},
           {kGiB + kRoom,
            2 * kGiB,
            {RequestMemory{2 * kGiB}, AwaitMemoryShrunk{2 * kGiB}}},
           {0,
            2 * kGiB,
            {ReclaimMemory{kGiB + kRoom}, RequestMemory{2 * kGiB},
             AwaitMemoryShrunk{2 * kGiB}}},
           {0, 3 * kGiB, {}},
           {0, 4 * kGiB, {RequestMemory{4 * kGiB}, AwaitMemoryGrown{4 * kGiB}}},
       }) {
    VmState state = State(1, 1, 3 * kGiB);
    state.guest_free_bytes = c.free_bytes;

    EXPECT_EQ(Steps(Limits(), state, {1, kGiB + c.target_hotplug_bytes}),
              c.steps)
        << c.free_bytes << " " << c.target_hotplug_bytes;
  }
}

TEST(PlanResizeTest, GrowsOneResourceBeforeItShrinksTheOther) {
  const VmLimits limits = Limits(VcpuUnplug::kDevice);

  // Adding memory after the removal of a vCPU kills some QEMUs.
  EXPECT_THAT(Steps(limits, State(4, 4, 0), {2, 2 * kGiB}),
              ElementsAre(RequestMemory{kGiB}, AwaitMemoryGrown{kGiB},
                          OfflineVcpus{2}, UnplugVcpus{2}));
  EXPECT_THAT(Steps(limits, State(1, 1, 2 * kGiB), {2, 2 * kGiB}),
              ElementsAre(PlugVcpus{2}, OnlineVcpus{2}, RequestMemory{kGiB},
                          AwaitMemoryShrunk{kGiB}));
}

TEST(PlanResizeTest, RemovesVcpusThatAnEarlierRunLeftParked) {
  EXPECT_THAT(Steps(Limits(VcpuUnplug::kDevice), State(4, 2, 0), {2, kGiB}),
              ElementsAre(UnplugVcpus{2}));
  EXPECT_THAT(Steps(Limits(VcpuUnplug::kPark), State(4, 2, 0), {2, kGiB}),
              IsEmpty());
}

TEST(PlanResizeTest, ResumesWhatStoppedHalfWay) {
  VmState growing = State(1, 1, kGiB);
  growing.hotplug_plugged_bytes = kBlock;
  growing.hotplug_online_bytes = 0;
  VmState shrinking = State(1, 1, kGiB);
  shrinking.hotplug_requested_bytes = 0;
  VmState not_online = State(1, 1, kGiB);
  not_online.hotplug_online_bytes = 0;

  EXPECT_THAT(Steps(Limits(), growing, {1, 2 * kGiB}),
              ElementsAre(RequestMemory{kGiB}, AwaitMemoryGrown{kGiB}));
  EXPECT_THAT(Steps(Limits(), growing, {1, kGiB}),
              ElementsAre(RequestMemory{0}, AwaitMemoryShrunk{0}));
  EXPECT_THAT(Steps(Limits(), shrinking, {1, kGiB}),
              ElementsAre(RequestMemory{0}, AwaitMemoryShrunk{0}));
  EXPECT_THAT(Steps(Limits(), shrinking, {1, 2 * kGiB}),
              ElementsAre(RequestMemory{kGiB}, AwaitMemoryShrunk{kGiB}));
  EXPECT_THAT(Steps(Limits(), not_online, {1, 2 * kGiB}),
              ElementsAre(RequestMemory{kGiB}, AwaitMemoryGrown{kGiB}));
}

TEST(PlanResizeTest, BringsBootVcpusOnlineThatTheGuestTookOffline) {
  VmLimits limits = Limits();
  limits.boot_vcpus = 2;
  VmState state = State(2, 1, 0);
  state.vcpus_removable = 0;

  EXPECT_THAT(Steps(limits, state, {2, kGiB}), ElementsAre(OnlineVcpus{2}));
}

TEST(PlanResizeTest, RefusesATargetOutOfBounds) {
  struct Case {
    VmSize target;
    absl::StatusCode code;
  };
  for (const Case& c : std::vector<Case>{
           {{9, kGiB}, absl::StatusCode::kResourceExhausted},
           {{1, 9 * kGiB + kBlock}, absl::StatusCode::kResourceExhausted},
           {{1, INT64_MAX}, absl::StatusCode::kResourceExhausted},
           {{0, kGiB}, absl::StatusCode::kInvalidArgument},
           {{-1, kGiB}, absl::StatusCode::kInvalidArgument},
           {{1, kGiB - kBlock}, absl::StatusCode::kInvalidArgument},
           {{1, kGiB + kMiB}, absl::StatusCode::kInvalidArgument},
           {{1, INT64_MIN}, absl::StatusCode::kInvalidArgument},
       }) {
    EXPECT_EQ(PlanResize(Limits(), State(1, 1, 0), c.target).status().code(),
              c.code)
        << c.target.vcpus << " " << c.target.memory_bytes;
  }
}

TEST(PlanResizeTest, RefusesAStateThatCannotBe) {
  VmState no_boot_vcpu = State(2, 1, 0);
  no_boot_vcpu.vcpus_removable = 2;
  VmState negative = State(1, 1, 0);
  negative.hotplug_plugged_bytes = -1;

  for (const VmState& state : {no_boot_vcpu, negative, State(2, 3, 0),
                               State(2, -1, 0), State(0, 0, 0)}) {
    EXPECT_TRUE(absl::IsInvalidArgument(
        PlanResize(Limits(), state, {1, kGiB}).status()));
  }
}

VmLimits DimmLimits(VcpuUnplug unplug = VcpuUnplug::kPark) {
  VmLimits limits = Limits(unplug);
  limits.memory_device = MemoryDevice::kPcDimm;
  limits.memory_slots = 10;
  return limits;
}

VmState DimmState(int plugged, int online, const std::vector<Dimm>& dimms,
                  int64_t available_bytes = kGiB) {
  int64_t bytes = 0;
  for (const Dimm& dimm : dimms) bytes += dimm.bytes;
  VmState state = State(plugged, online, bytes);
  state.dimms = dimms;
  state.guest_available_bytes = available_bytes;
  return state;
}

TEST(PlanResizeTest, ADimmIsPluggedBeforeTheVcpusAndAwaitedAfterThem) {
  EXPECT_THAT(Steps(DimmLimits(), DimmState(1, 1, {}), {4, 4 * kGiB}),
              ElementsAre(PlugDimm{{0, 3 * kGiB}}, PlugVcpus{4}, OnlineVcpus{4},
                          AwaitMemoryGrown{3 * kGiB}));
}

TEST(PlanResizeTest, DimmsBeyondWhatTheGuestCarriesWaitForThoseBefore) {
  EXPECT_THAT(
      Steps(DimmLimits(), DimmState(1, 1, {}, 64 * kMiB), {1, 6 * kGiB}),
      ElementsAre(PlugDimm{{0, 2 * kGiB}}, AwaitMemoryGrown{2 * kGiB},
                  PlugDimm{{1, 2 * kGiB}}, AwaitMemoryGrown{4 * kGiB},
                  PlugDimm{{2, kGiB}}, AwaitMemoryGrown{5 * kGiB}));
}

TEST(PlanResizeTest, DimmsStayAndAreUsedAgainUnlessTheyMayBeRemoved) {
  const VmState state = DimmState(1, 1, {{0, 3 * kGiB}});
  VmLimits removable = DimmLimits();
  removable.dimm_unplug = true;

  EXPECT_THAT(Steps(DimmLimits(), state, {1, kGiB}), IsEmpty());
  EXPECT_THAT(Steps(DimmLimits(), state, {1, 3 * kGiB}), IsEmpty());
  EXPECT_THAT(Steps(DimmLimits(), state, {1, 5 * kGiB}),
              ElementsAre(PlugDimm{{1, kGiB}}, AwaitMemoryGrown{4 * kGiB}));
  EXPECT_THAT(Steps(removable, state, {1, kGiB}), ElementsAre(UnplugDimm{0}));
  EXPECT_THAT(Steps(removable, state, {1, 2 * kGiB}), IsEmpty());
  EXPECT_EQ(MemoryShortfall(DimmLimits(), state, {1, kGiB}), 0);
  EXPECT_EQ(MemoryShortfall(removable, state, {1, kGiB}), 3 * kGiB);
  EXPECT_EQ(MemoryShortfall(removable, state, {1, 2 * kGiB}), 0);
}

TEST(PlanResizeTest, DimmsGoBeforeVcpusDo) {
  VmLimits limits = DimmLimits(VcpuUnplug::kDevice);
  limits.dimm_unplug = true;

  // Changing the memory map after the removal of a vCPU kills some QEMUs.
  EXPECT_THAT(Steps(limits, DimmState(4, 4, {{0, kGiB}}), {1, kGiB}),
              ElementsAre(OfflineVcpus{1}, UnplugDimm{0}, UnplugVcpus{1}));
}

TEST(PlanResizeTest, CacheIsDroppedBeforeTheDimmsThatAreSpareGo) {
  VmLimits limits = DimmLimits();
  limits.dimm_unplug = true;
  VmState state = DimmState(1, 1, {{0, kGiB}, {1, 2 * kGiB}});
  state.guest_free_bytes = kGiB + kRoomToMoveBytes;

  EXPECT_THAT(
      Steps(limits, state, {1, 2 * kGiB}),
      ElementsAre(ReclaimMemory{2 * kGiB + kRoomToMoveBytes}, UnplugDimm{1}));
  EXPECT_THAT(Steps(limits, state, {1, 3 * kGiB}), ElementsAre(UnplugDimm{0}));
  EXPECT_THAT(Steps(DimmLimits(), state, {1, kGiB}), IsEmpty());
}

TEST(PlanResizeTest, DimmsThatTheGuestHasNotTakenYetAreAwaited) {
  VmState state = DimmState(1, 1, {{0, 2 * kGiB}});
  state.hotplug_online_bytes = kGiB;

  EXPECT_THAT(Steps(DimmLimits(), state, {1, 3 * kGiB}),
              ElementsAre(AwaitMemoryGrown{2 * kGiB}));
}

TEST(PlanResizeTest, StepsDescribeThemselves) {
  EXPECT_EQ(DescribeStep(PlugVcpus{4}), "plug vCPUs to 4");
  EXPECT_EQ(DescribeStep(RequestMemory{7}),
            "request 7 bytes of hot-plugged memory");
}

// --- Properties.

// A VM that does what a step says.
class ModelVm {
 public:
  ModelVm(const VmLimits& limits, const VmState& state)
      : limits_(limits),
        state_(state),
        boot_vcpus_(state.vcpus_plugged - state.vcpus_removable) {}

  const VmState& state() const { return state_; }

  void operator()(const RequestMemory& step) {
    ASSERT_LE(step.hotplug_bytes, MaxHotplugBytes(limits_));
    state_.hotplug_requested_bytes = step.hotplug_bytes;
  }
  void operator()(const PlugDimm& step) {
    ASSERT_GE(step.dimm.slot, 0);
    ASSERT_LT(step.dimm.slot, limits_.memory_slots);
    for (const Dimm& dimm : state_.dimms) ASSERT_NE(dimm.slot, step.dimm.slot);
    ASSERT_GT(step.dimm.bytes, 0);
    ASSERT_EQ(step.dimm.bytes % limits_.memory_block_bytes, 0);
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
    CountDimms();
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
    ASSERT_EQ(step.hotplug_bytes, state_.hotplug_requested_bytes);
    FollowMemory();
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
    FollowMemory();
  }

  // The guest follows in its own time: some of the way, or all of it.
  void FollowMemory(double part = 1.0) {
    const auto follow = [&](int64_t& bytes, int64_t goal) {
      const int64_t blocks =
          static_cast<int64_t>((goal - bytes) / kBlock * part);
      bytes = part == 1.0 ? goal : bytes + blocks * kBlock;
    };
    follow(state_.hotplug_plugged_bytes, state_.hotplug_requested_bytes);
    follow(state_.hotplug_online_bytes, state_.hotplug_plugged_bytes);
    state_.hotplug_online_bytes =
        std::min(state_.hotplug_online_bytes, state_.hotplug_plugged_bytes);
  }

 private:
  void CountDimms() {
    state_.hotplug_plugged_bytes = 0;
    for (const Dimm& dimm : state_.dimms) {
      state_.hotplug_plugged_bytes += dimm.bytes;
    }
    state_.hotplug_requested_bytes = state_.hotplug_plugged_bytes;
    state_.hotplug_online_bytes =
        std::min(state_.hotplug_online_bytes, state_.hotplug_plugged_bytes);
  }

  const VmLimits limits_;
  VmState state_;
  const int boot_vcpus_;
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
    VmLimits limits =
        Limits(Between(0, 1) == 0 ? VcpuUnplug::kPark : VcpuUnplug::kDevice);
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
  VmState AnyState(const VmLimits& limits) {
    VmState state;
    state.vcpus_plugged = Between(limits.boot_vcpus, limits.max_vcpus);
    state.vcpus_removable = state.vcpus_plugged - limits.boot_vcpus;
    state.vcpus_online = Between(0, state.vcpus_plugged);
    // As much as there is, or so little that it takes many steps.
    state.guest_available_bytes =
        Between(0, 3) > 0 ? 16 * kGiB : kMiB * int64_t{Between(0, 256)};
    state.guest_free_bytes = Blocks(state.guest_available_bytes);
    if (limits.memory_device == MemoryDevice::kPcDimm) {
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
  // In any slots, with holes.
  void AddDimms(const VmLimits& limits, VmState& state) {
    for (int slot = 0; slot < limits.memory_slots; ++slot) {
      if (Between(0, 2) > 0) continue;
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

void ExpectReached(const VmLimits& limits, const VmState& state,
                   const VmSize& target) {
  const int64_t hotplug = target.memory_bytes - limits.boot_memory_bytes;
  ASSERT_EQ(state.vcpus_online, target.vcpus);
  if (limits.memory_device == MemoryDevice::kPcDimm) {
    ASSERT_GE(state.hotplug_plugged_bytes, hotplug);
    ASSERT_GE(state.hotplug_online_bytes, hotplug);
    ASSERT_EQ(MemoryShortfall(limits, state, target), 0);
  } else {
    ASSERT_EQ(state.hotplug_requested_bytes, hotplug);
    ASSERT_EQ(state.hotplug_plugged_bytes, hotplug);
    ASSERT_EQ(state.hotplug_online_bytes, hotplug);
  }
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

TEST(PlanResizePropertyTest, AnyPlanReachesItsTargetAlsoAfterACrashAnywhere) {
  const uint64_t seed = std::random_device{}();
  std::cout << "seed " << seed << std::endl;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  RandomVms random(seed);
  int refused = 0;
  for (int i = 0; i < 200'000 && !testing::Test::HasFailure(); ++i) {
    const VmLimits limits = random.AnyLimits();
    const VmState before = random.AnyState(limits);
    const VmSize target = random.AnyTarget(limits);
    const auto plan = PlanResize(limits, before, target);
    if (absl::IsResourceExhausted(plan.status())) {
      // Only slots, or the guest's own memory, can run out below the maximum.
      ASSERT_EQ(limits.memory_device, MemoryDevice::kPcDimm);
      ++refused;
      continue;
    }
    ASSERT_TRUE(plan.ok()) << plan.status();
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
    ExpectReached(limits, vm.state(), target);
    ASSERT_TRUE(PlanResize(limits, vm.state(), target)->empty());
  }
  EXPECT_LT(refused, 60'000);
}

TEST(PlanResizePropertyTest, EveryPairOfSmallSizesIsReachedAndUndone) {
  for (const VcpuUnplug unplug : {VcpuUnplug::kPark, VcpuUnplug::kDevice}) {
    VmLimits limits = Limits(unplug);
    limits.max_vcpus = 4;
    limits.max_memory_bytes = limits.boot_memory_bytes + 3 * kBlock;
    for (int i = 0; i < 256; ++i) {
      const VmSize from = {1 + i % 4, kGiB + i / 4 % 4 * kBlock};
      const VmSize to = {1 + i / 16 % 4, kGiB + i / 64 % 4 * kBlock};
      ModelVm vm(limits, State(1, 1, 0));
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
