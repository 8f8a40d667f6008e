#include "hotplug/resize_plan.h"

#include <cstdint>
#include <string>
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
  state.guest_available_bytes = hotplug_bytes + kGiB;
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

TEST(PlanResizeTest, AGuestIsAskedForNoMoreThanItCanDoWithout) {
  constexpr int64_t kRoom = kRoomToMoveBytes;
  struct Case {
    int64_t requested_bytes;
    int64_t plugged_bytes;
    int64_t available_bytes;
    std::vector<ResizeStep> steps;
  };
  for (const Case& c : std::vector<Case>{
           {3 * kGiB, 3 * kGiB, 0, {}},
           {3 * kGiB, 3 * kGiB, kRoom + kBlock / 2, {}},
           {3 * kGiB,
            3 * kGiB,
            kRoom + kBlock,
            {RequestMemory{3 * kGiB - kBlock},
             AwaitMemoryShrunk{3 * kGiB - kBlock}}},
           {3 * kGiB,
            3 * kGiB,
            kRoom + 2 * kGiB,
            {RequestMemory{kGiB}, AwaitMemoryShrunk{kGiB}}},
           // An earlier shrink is stopped, and so is an earlier grow.
           {0, 3 * kGiB, 0, {RequestMemory{3 * kGiB}}},
           {4 * kGiB, 3 * kGiB, 0, {RequestMemory{3 * kGiB}}},
           {0, 3 * kGiB - kBlock / 2, 0, {RequestMemory{3 * kGiB}}},
           {3 * kGiB, 3 * kGiB - kBlock / 2, 0, {}},
       }) {
    VmState state = State(1, 1, c.plugged_bytes);
    state.hotplug_requested_bytes = c.requested_bytes;
    state.guest_available_bytes = c.available_bytes;

    EXPECT_EQ(Steps(Limits(), state, {1, kGiB + kBlock}), c.steps)
        << c.requested_bytes << " " << c.available_bytes;
  }
}

TEST(PlanResizeTest, MemoryThatTheGuestHasNotBroughtOnlineMayAlwaysGo) {
  VmState state = State(1, 1, 3 * kGiB);
  state.guest_available_bytes = 0;
  state.hotplug_online_bytes = kGiB;

  EXPECT_THAT(Steps(Limits(), state, {1, kGiB}),
              ElementsAre(RequestMemory{kGiB}, AwaitMemoryShrunk{kGiB}));
}

TEST(PlanResizeTest, AGuestThatIsSmallKeepsAQuarterOfWhatItBootedWith) {
  VmState state = State(1, 1, kGiB);
  state.guest_boot_bytes = 96 * kMiB;
  state.guest_available_bytes = kGiB + 24 * kMiB - kGiB / 64;
  state.guest_free_bytes = 2 * kGiB;

  EXPECT_THAT(Steps(Limits(), state, {1, kGiB}),
              ElementsAre(RequestMemory{0}, AwaitMemoryShrunk{0}));
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
                  int64_t available_bytes = 8 * kGiB) {
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

TEST(PlanResizeTest, ADimmStaysThatTheGuestCannotDoWithout) {
  VmLimits limits = DimmLimits();
  limits.dimm_unplug = true;
  const std::vector<Dimm> dimms = {{0, kGiB}, {1, 2 * kGiB}};

  EXPECT_THAT(Steps(limits, DimmState(1, 1, dimms, 0), {1, kGiB}), IsEmpty());
  EXPECT_THAT(
      Steps(limits, DimmState(1, 1, dimms, kGiB + kRoomToMoveBytes), {1, kGiB}),
      ElementsAre(UnplugDimm{0}));
  EXPECT_THAT(Steps(limits, DimmState(1, 1, dimms, 3 * kGiB + kRoomToMoveBytes),
                    {1, kGiB}),
              ElementsAre(UnplugDimm{1}, UnplugDimm{0}));
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
  EXPECT_EQ(DescribeStep(RequestMemory{2 * kGiB}),
            "request 2048 MiB of hot-plugged memory");
}

TEST(PlanGrowTest, LeavesOutWhatAResizeWouldGiveBack) {
  const auto steps = [](const VmState& state, const VmSize& target) {
    return PlanGrow(Limits(VcpuUnplug::kDevice), state, target)->steps;
  };
  VmState shrinking = State(4, 4, 2 * kGiB);
  shrinking.hotplug_requested_bytes = 0;
  VmState growing = State(1, 1, 0);
  growing.hotplug_requested_bytes = 2 * kGiB;

  EXPECT_THAT(steps(State(4, 4, 2 * kGiB), {1, kGiB}), IsEmpty());
  EXPECT_THAT(steps(State(4, 4, 0), {2, 2 * kGiB}),
              ElementsAre(RequestMemory{kGiB}, AwaitMemoryGrown{kGiB}));
  // Goes on, but not below what is needed now.
  EXPECT_THAT(steps(shrinking, {4, kGiB}), IsEmpty());
  EXPECT_THAT(steps(shrinking, {4, 2 * kGiB}),
              ElementsAre(RequestMemory{kGiB}, AwaitMemoryGrown{kGiB}));
  EXPECT_THAT(steps(growing, {1, 2 * kGiB}),
              ElementsAre(RequestMemory{2 * kGiB}, AwaitMemoryGrown{kGiB}));
}

}  // namespace
}  // namespace podvisor
