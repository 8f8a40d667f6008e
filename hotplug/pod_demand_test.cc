#include "hotplug/pod_demand.h"

#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "hotplug/property_seed.h"
#include "hotplug/vcpu_unplug.h"  // its table is checked at compile time

namespace podvisor {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kGiB = int64_t{1} << 30;
constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
constexpr int64_t kMin = std::numeric_limits<int64_t>::min();

ContainerResources Cpu(int64_t quota, int64_t period, int64_t shares) {
  ContainerResources resources;
  resources.cpu_quota = quota;
  resources.cpu_period = period;
  resources.cpu_shares = shares;
  return resources;
}

ContainerResources Memory(int64_t limit) {
  ContainerResources resources;
  resources.memory_limit_bytes = limit;
  return resources;
}

ContainerResources Limits(int64_t milli_cpu, int64_t memory_bytes) {
  ContainerResources resources = Memory(memory_bytes);
  resources.cpu_quota = milli_cpu * 100;
  resources.cpu_period = 100'000;
  return resources;
}

ContainerResources Unified(const std::string& file, const std::string& value) {
  ContainerResources resources;
  resources.unified[file] = value;
  return resources;
}

VmLimits SmallBase() {
  VmLimits limits;
  limits.boot_vcpus = 1;
  limits.max_vcpus = 8;
  limits.boot_memory_bytes = kGiB;
  limits.max_memory_bytes = 16 * kGiB;
  limits.memory_block_bytes = 128 * kMiB;
  return limits;
}

SizingRules Shared() {
  SizingRules rules;
  rules.base_milli_cpu = 1000;
  rules.base_memory_bytes = kGiB;
  return rules;
}

TEST(DemandOfTest, CpuFollowsTheTable) {
  struct Case {
    int64_t quota, period, shares, milli_cpu;
  };
  for (const Case& c : std::vector<Case>{
           {0, 0, 0, 0},
           {400'000, 100'000, 2, 4000},
           {20'000, 100'000, 0, 200},
           {150'000, 0, 0, 1500},           // a period of 0 is 100 ms
           {400'000, 100'000, 9999, 4000},  // the quota wins over the shares
           {-1, 100'000, 1024, 1000},       // no limit: the request counts
           {0, 100'000, 512, 500},
           {0, 0, 2, 0},  // the kubelet's "no request"
           {0, 0, 3, 3},
           {1000, 100'000, 0, 10},  // the kubelet's smallest quota
           {1, 1'000'000, 0, 1},    // never nothing for something
       }) {
    const auto demand = DemandOf(Cpu(c.quota, c.period, c.shares));

    ASSERT_TRUE(demand.ok()) << demand.status();
    EXPECT_EQ(demand->milli_cpu, c.milli_cpu)
        << c.quota << "/" << c.period << " " << c.shares;
  }
}

TEST(DemandOfTest, GivesBackTheMilliCpuThatTheKubeletRoundedDown) {
  for (int64_t milli_cpu = 10; milli_cpu <= 10'000; ++milli_cpu) {
    for (const int64_t period : {3'333, 10'000, 100'000, 999'999}) {
      const int64_t quota = milli_cpu * period / 1000;
      EXPECT_EQ(DemandOf(Cpu(quota, period, 0))->milli_cpu, milli_cpu);
    }
    const int64_t shares = milli_cpu * 1024 / 1000;
    EXPECT_EQ(DemandOf(Cpu(0, 0, shares))->milli_cpu, milli_cpu);
  }
}

TEST(DemandOfTest, MemoryFollowsTheTable) {
  EXPECT_EQ(DemandOf(Memory(5 * kMiB))->memory_bytes, 5 * kMiB);
  EXPECT_EQ(DemandOf(Unified("memory.max", "4096"))->memory_bytes, 4096);
  EXPECT_EQ(DemandOf(Unified("memory.max", "max"))->memory_bytes, 0);
  EXPECT_EQ(DemandOf(Unified("memory.min", "8192"))->memory_bytes, 8192);
  EXPECT_EQ(DemandOf(Unified("memory.high", "8192"))->memory_bytes, 0);

  ContainerResources all = Memory(kGiB);
  all.unified = {{"memory.max", "4096"}, {"memory.min", "8192"}};
  all.hugepage_limits = {{"2MB", 64 * kMiB}, {"1GB", 0}};
  EXPECT_EQ(DemandOf(all)->memory_bytes, kGiB + 64 * kMiB);

  all.memory_limit_bytes = 0;
  EXPECT_EQ(DemandOf(all)->memory_bytes, 4096 + 64 * kMiB);
}

TEST(DemandOfTest, NamesTheFieldThatCannotBe) {
  ContainerResources hugepages;
  hugepages.hugepage_limits = {{"2MB", -1}};
  ContainerResources many_hugepages;
  many_hugepages.hugepage_limits = {{"1GB", kMax}, {"2MB", 1}};
  ContainerResources with_hugepages = Memory(kMax);
  with_hugepages.hugepage_limits = {{"2MB", 1}};
  struct Case {
    ContainerResources resources;
    std::string field;
  };
  for (const Case& c : std::vector<Case>{
           {Cpu(-2, 0, 0), "cpu_quota"},
           {Cpu(kMin, 0, 0), "cpu_quota"},
           {Cpu(kMax, 1, 0), "cpu_quota"},
           {Cpu(1, -1, 0), "cpu_period"},
           {Cpu(0, kMin, 0), "cpu_period"},
           {Cpu(0, 0, -1), "cpu_shares"},
           {Memory(-1), "memory_limit_in_bytes"},
           {Memory(kMin), "memory_limit_in_bytes"},
           {with_hugepages, "memory_limit_in_bytes"},
           {hugepages, "hugepage_limits[2MB]"},
           {many_hugepages, "hugepage_limits[2MB]"},
           {Unified("memory.max", "-5"), "unified[\"memory.max\"]"},
           {Unified("memory.max", "1G"), "unified[\"memory.max\"]"},
           {Unified("memory.min", "9223372036854775808"),
            "unified[\"memory.min\"]"},
           {Unified("memory.min", "\x1b[2J"), "unified[\"memory.min\"]"},
       }) {
    const auto demand = DemandOf(c.resources);

    EXPECT_TRUE(absl::IsInvalidArgument(demand.status())) << c.field;
    EXPECT_THAT(std::string(demand.status().message()), HasSubstr(c.field));
  }
}

TEST(DemandOfTest, TheLargestSharesAreStillComputed) {
  // 2^63 * 1000 / 1024 fits; only its intermediate value does not.
  EXPECT_TRUE(DemandOf(Cpu(0, 0, kMax)).ok());
}

TEST(RoomForEitherTest, AsksForTheMoreOfEachAndElseForWhatComes) {
  ContainerResources before = Limits(4000, 512 * kMiB);
  ContainerResources after = Cpu(0, 0, 1024);
  after.memory_limit_bytes = kGiB;
  after.cpuset_cpus = "2";

  const ContainerResources room = RoomForEither(before, after);

  EXPECT_EQ(DemandOf(room).value(), (PodDemand{4000, kGiB}));
  EXPECT_EQ(room.cpuset_cpus, "2");
  EXPECT_EQ(DemandOf(RoomForEither(after, before)).value(),
            (PodDemand{4000, kGiB}));
}

TEST(DemandOfPodTest, TenTimesTwoTenthsAndOneIsThreeCpus) {
  std::vector<ContainerResources> containers(10, Limits(200, 0));
  containers.push_back(Limits(1000, 0));

  const auto demand = DemandOfPod(containers, std::nullopt);

  ASSERT_TRUE(demand.ok());
  EXPECT_EQ(demand->milli_cpu, 3000);
  EXPECT_EQ(TargetFor(*demand, Shared(), SmallBase())->size.vcpus, 3);
}

TEST(DemandOfPodTest, LimitsOfThePodCapTheSum) {
  const std::vector<ContainerResources> containers(3, Limits(2000, kGiB));

  EXPECT_EQ(*DemandOfPod(containers, Limits(4000, 2 * kGiB)),
            (PodDemand{4000, 2 * kGiB}));
  EXPECT_EQ(*DemandOfPod(containers, Limits(9000, 9 * kGiB)),
            (PodDemand{6000, 3 * kGiB}));
  EXPECT_EQ(*DemandOfPod(containers, Limits(0, 0)),
            (PodDemand{6000, 3 * kGiB}));
}

TEST(DemandOfPodTest, RequestsOfThePodDoNotCap) {
  ContainerResources requests = Cpu(0, 0, 1024);
  requests.unified["memory.min"] = "4096";

  EXPECT_EQ(*DemandOfPod({Limits(2000, kGiB)}, requests),
            (PodDemand{2000, kGiB}));
}

TEST(UseOfPodTotalTest, ItIsAFloorFromTheStartUntilAllContainersHaveEnded) {
  struct Case {
    bool presize, had_containers, any_counts;
    PodTotalUse use;
  };
  for (const Case& c : std::vector<Case>{
           {false, false, false, PodTotalUse::kCap},
           {false, true, true, PodTotalUse::kCap},
           {true, false, false, PodTotalUse::kCapAndFloor},
           {true, false, true, PodTotalUse::kCapAndFloor},
           {true, true, true, PodTotalUse::kCapAndFloor},
           {true, true, false, PodTotalUse::kCap},
       }) {
    EXPECT_EQ(UseOfPodTotal(c.presize, c.had_containers, c.any_counts), c.use)
        << c.presize << c.had_containers << c.any_counts;
  }
}

TEST(DemandOfPodTest, AFloorHoldsWhateverTheContainersAskFor) {
  ContainerResources requests = Cpu(0, 0, 2048);
  requests.unified["memory.min"] = std::to_string(kGiB);
  ContainerResources both = Limits(4000, 2 * kGiB);
  both.cpu_shares = 512;
  ContainerResources hugepages = Limits(0, kGiB);
  hugepages.hugepage_limits = {{"2MB", kGiB}};
  struct Case {
    std::vector<ContainerResources> containers;
    ContainerResources pod;
    PodDemand demand;
  };
  for (const Case& c : std::vector<Case>{
           {{}, Limits(4000, 2 * kGiB), {4000, 2 * kGiB}},
           {{Limits(1000, kGiB)}, Limits(4000, 2 * kGiB), {4000, 2 * kGiB}},
           {{Limits(6000, 3 * kGiB)}, Limits(4000, 2 * kGiB), {4000, 2 * kGiB}},
           // A limit wins over a request, as for a container.
           {{}, both, {4000, 2 * kGiB}},
           {{}, requests, {2000, kGiB}},
           {{Limits(3000, 2 * kGiB)}, requests, {3000, 2 * kGiB}},
           {{}, hugepages, {0, 2 * kGiB}},
           {{Limits(500, 0)}, Limits(0, 0), {500, 0}},
           {{}, Cpu(-1, 0, 2), {0, 0}},
       }) {
    EXPECT_EQ(*DemandOfPod(c.containers, c.pod, PodTotalUse::kCapAndFloor),
              c.demand)
        << c.demand.milli_cpu << "m " << c.demand.memory_bytes << " B";
  }
  EXPECT_EQ(*DemandOfPod({Limits(500, kGiB)}, std::nullopt,
                         PodTotalUse::kCapAndFloor),
            (PodDemand{500, kGiB}));
}

TEST(DemandOfPodTest, RefusesASumBeyond63Bits) {
  EXPECT_TRUE(absl::IsInvalidArgument(
      DemandOfPod({Memory(kMax), Memory(1)}, std::nullopt).status()));
  const int64_t quota = kMax / 1000;
  EXPECT_TRUE(absl::IsInvalidArgument(
      DemandOfPod({Cpu(quota, 1, 0), Cpu(quota, 1, 0)}, std::nullopt)
          .status()));
}

TEST(DemandOfPodTest, RefusesImpossiblePodResources) {
  const auto demand = DemandOfPod({}, Memory(-1));

  EXPECT_TRUE(absl::IsInvalidArgument(demand.status()));
  EXPECT_THAT(std::string(demand.status().message()),
              HasSubstr("pod resources: memory_limit_in_bytes"));
}

TEST(TargetForTest, TheExampleOfTheContract) {
  const auto target =
      TargetFor(*DemandOf(Limits(4000, 4 * kGiB)), Shared(), SmallBase());

  ASSERT_TRUE(target.ok());
  EXPECT_EQ(target->size, (VmSize{4, 4 * kGiB}));
  EXPECT_FALSE(target->vcpus_clamped);
  EXPECT_FALSE(target->memory_clamped);
}

TEST(TargetForTest, SizingFollowsTheTable) {
  SizingRules with_overhead = Shared();
  with_overhead.guest_overhead_memory_bytes = 100 * kMiB;
  SizingRules additive = Shared();
  additive.sizing = Sizing::kAdditive;
  SizingRules half = additive;
  half.base_milli_cpu = 500;
  struct Case {
    PodDemand demand;
    SizingRules rules;
    VmSize size;
  };
  for (const Case& c : std::vector<Case>{
           {{0, 0}, Shared(), {1, kGiB}},
           {{1, 1}, Shared(), {1, kGiB}},
           {{1001, 0}, Shared(), {2, kGiB}},
           {{0, kGiB + 1}, Shared(), {1, kGiB + 128 * kMiB}},
           {{0, 2 * kGiB}, Shared(), {1, 2 * kGiB}},
           {{0, kGiB}, with_overhead, {1, kGiB + 128 * kMiB}},
           {{0, 900 * kMiB}, with_overhead, {1, kGiB}},
           // 100 MiB and 3/128; the latter makes the difference here.
           {{0, 924 * kMiB}, with_overhead, {1, kGiB + 128 * kMiB}},
           {{0, 8 * kGiB}, with_overhead, {1, 8 * kGiB + 384 * kMiB}},
           {{0, 4 * kGiB}, Shared(), {1, 4 * kGiB}},
           {{0, 0}, additive, {1, kGiB}},
           {{1, 1}, additive, {2, kGiB + 128 * kMiB}},
           {{4000, 4 * kGiB}, additive, {5, 5 * kGiB}},
           {{500, 0}, half, {1, kGiB}},
           {{501, 0}, half, {2, kGiB}},
       }) {
    const auto target = TargetFor(c.demand, c.rules, SmallBase());

    ASSERT_TRUE(target.ok()) << target.status();
    EXPECT_EQ(target->size, c.size)
        << c.demand.milli_cpu << "m " << c.demand.memory_bytes << " B";
  }
}

TEST(TargetForTest, AClampIsReportedWithWhatWasWanted) {
  const auto target = TargetFor({9000, 17 * kGiB}, Shared(), SmallBase());

  ASSERT_TRUE(target.ok());
  EXPECT_EQ(target->size, (VmSize{8, 16 * kGiB}));
  EXPECT_TRUE(target->vcpus_clamped);
  EXPECT_TRUE(target->memory_clamped);
  EXPECT_EQ(target->wanted_vcpus, 9);
  EXPECT_EQ(target->wanted_memory_bytes, 17 * kGiB);
}

TEST(TargetForTest, AMaximumOffTheBlockIsRoundedDown) {
  VmLimits limits = SmallBase();
  limits.max_memory_bytes = 2 * kGiB + kMiB;

  const auto target = TargetFor({0, 2 * kGiB + kMiB}, Shared(), limits);

  EXPECT_EQ(target->size.memory_bytes, 2 * kGiB);
  EXPECT_TRUE(target->memory_clamped);
}

TEST(TargetForTest, WithoutAMemoryDeviceMemoryStaysAsBooted) {
  VmLimits limits = SmallBase();
  limits.memory_device = MemoryDevice::kNone;

  const auto target = TargetFor({0, 2 * kGiB}, Shared(), limits);

  EXPECT_EQ(target->size.memory_bytes, kGiB);
  EXPECT_TRUE(target->memory_clamped);
}

TEST(TargetForTest, RefusesWhatCannotBe) {
  const VmLimits limits = SmallBase();
  SizingRules overhead = Shared();
  overhead.guest_overhead_memory_bytes = 1;
  SizingRules additive = Shared();
  additive.sizing = Sizing::kAdditive;
  SizingRules negative = Shared();
  negative.base_milli_cpu = -1;
  VmLimits upside_down = SmallBase();
  upside_down.max_vcpus = 0;
  VmLimits odd_block = SmallBase();
  odd_block.memory_block_bytes = 3 * kMiB;

  for (const auto& status : {
           TargetFor({-1, 0}, Shared(), limits).status(),
           TargetFor({0, -1}, Shared(), limits).status(),
           TargetFor({0, kMax}, overhead, limits).status(),
           TargetFor({kMax, 0}, additive, limits).status(),
           TargetFor({0, kMax}, additive, limits).status(),
           TargetFor({0, 0}, negative, limits).status(),
           TargetFor({0, 0}, Shared(), upside_down).status(),
           TargetFor({0, 0}, Shared(), odd_block).status(),
       }) {
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  }
}

// Values as clients send them, and values at the edges of 64 bits.
int64_t AnyValue(std::mt19937_64& random) {
  switch (random() % 4) {
    case 0:
      return static_cast<int64_t>(random() % 1'000'000);
    case 1:
      return static_cast<int64_t>(random() >> (1 + random() % 62));
    case 2:
      return kMax - static_cast<int64_t>(random() % 3);
    default:
      return static_cast<int64_t>(random());
  }
}

TEST(TargetForTest, AnyDemandGivesASizeInBoundsThatGrowsWithIt) {
  const uint64_t seed = PropertySeed();
  SCOPED_TRACE(testing::Message() << "PODVISOR_SEED=" << seed);
  std::mt19937_64 random(seed);
  int computed = 0;
  for (int i = 0; i < 200'000; ++i) {
    ContainerResources resources =
        Cpu(AnyValue(random), AnyValue(random), AnyValue(random));
    resources.memory_limit_bytes = AnyValue(random);
    const auto demand = DemandOf(resources);
    if (!demand.ok()) {
      ASSERT_TRUE(absl::IsInvalidArgument(demand.status()));
      continue;
    }
    VmLimits limits = SmallBase();
    limits.boot_memory_bytes = kMiB * (1 + random() % 4096);
    limits.max_memory_bytes =
        limits.boot_memory_bytes + kMiB * (random() % 100'000);
    SizingRules rules = Shared();
    if (random() % 2 == 0) rules.sizing = Sizing::kAdditive;
    rules.base_memory_bytes = limits.boot_memory_bytes;

    const auto target = TargetFor(*demand, rules, limits);

    if (!target.ok()) {
      ASSERT_TRUE(absl::IsInvalidArgument(target.status()));
      continue;
    }
    ++computed;
    ASSERT_GE(target->size.vcpus, limits.boot_vcpus);
    ASSERT_LE(target->size.vcpus, limits.max_vcpus);
    ASSERT_GE(target->size.memory_bytes, limits.boot_memory_bytes);
    ASSERT_LE(target->size.memory_bytes, limits.max_memory_bytes);
    ASSERT_EQ((target->size.memory_bytes - limits.boot_memory_bytes) %
                  limits.memory_block_bytes,
              0);
    ASSERT_TRUE(target->vcpus_clamped ||
                target->size.vcpus >= target->wanted_vcpus);
    ASSERT_TRUE(target->memory_clamped ||
                target->size.memory_bytes >= target->wanted_memory_bytes);
    const auto less = TargetFor(
        {demand->milli_cpu / 2, demand->memory_bytes / 2}, rules, limits);
    ASSERT_LE(less->size.vcpus, target->size.vcpus);
    ASSERT_LE(less->size.memory_bytes, target->size.memory_bytes);
  }
  EXPECT_GT(computed, 10'000);
}

}  // namespace
}  // namespace podvisor
