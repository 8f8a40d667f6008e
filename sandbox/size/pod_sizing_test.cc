#include "sandbox/size/pod_sizing.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr int64_t kMiB = int64_t{1} << 20;

PodSettings Settings() {
  PodSettings settings;
  settings.limits.boot_vcpus = 1;
  settings.limits.max_vcpus = 8;
  settings.limits.boot_memory_bytes = 1024 * kMiB;
  settings.limits.max_memory_bytes = 8192 * kMiB;
  settings.sizing.base_milli_cpu = 1000;
  settings.sizing.base_memory_bytes = 1024 * kMiB;
  return settings;
}

PodSettings WithoutHotplug() {
  PodSettings settings = Settings();
  settings.limits.memory_device = MemoryDevice::kNone;
  return settings;
}

TEST(PodSizingTest, WithoutAnnotationsItIsTheConfigurations) {
  const PodSettings settings = Settings();

  EXPECT_EQ(LimitsOf(settings, {}).value(), settings.limits);
  EXPECT_EQ(RulesOf(settings, {}), settings.sizing);
}

TEST(PodSizingTest, AnnotationsReplaceTheBase) {
  const SizeOverrides size = {.base_milli_cpu = 4000,
                              .base_memory_bytes = 4096 * kMiB};
  const VmLimits limits = LimitsOf(Settings(), size).value();
  const SizingRules rules = RulesOf(Settings(), size);

  EXPECT_EQ(limits.boot_vcpus, 4);
  EXPECT_EQ(limits.max_vcpus, 8);
  EXPECT_EQ(limits.boot_memory_bytes, 4096 * kMiB);
  EXPECT_EQ(rules.base_milli_cpu, 4000);
  EXPECT_EQ(rules.base_memory_bytes, 4096 * kMiB);
}

TEST(PodSizingTest, HalfACpuBootsOneAndOddMemoryIsRoundedUp) {
  const SizeOverrides size = {.base_milli_cpu = 500,
                              .base_memory_bytes = 256 * kMiB + 1};
  const VmLimits limits = LimitsOf(Settings(), size).value();

  EXPECT_EQ(limits.boot_vcpus, 1);
  EXPECT_EQ(RulesOf(Settings(), size).base_milli_cpu, 500);
  EXPECT_EQ(limits.boot_memory_bytes, 258 * kMiB);
}

PodSizing SizingOf(const std::vector<ContainerResources>& containers,
                   const ContainerResources& pod_total) {
  PodSizing sizing;
  sizing.containers = containers;
  sizing.pod_total = pod_total;
  sizing.rules = Settings().sizing;
  sizing.limits = Settings().limits;
  return sizing;
}

ContainerResources Limits(int64_t milli_cpu, int64_t memory_bytes) {
  ContainerResources resources;
  resources.cpu_quota = milli_cpu * 100;
  resources.memory_limit_bytes = memory_bytes;
  return resources;
}

TEST(PodSizingTest, WhatThePodsOwnLimitsCutIsToldApartFromTheTarget) {
  PodSizing sizing =
      SizingOf({Limits(3000, 2048 * kMiB), Limits(1000, 0)}, Limits(2500, 0));

  const VmTarget target = TargetOf(sizing).value();

  EXPECT_EQ(target.size.vcpus, 3);
  EXPECT_EQ(target.cut_by_pod,
            (PodDemand{.milli_cpu = 1500, .memory_bytes = 0}));
  sizing.pod_total = Limits(4000, 0);
  EXPECT_EQ(TargetOf(sizing)->cut_by_pod, PodDemand());
}

TEST(PodSizingTest, TheCpusOfTheGuestThatContainersNameAreThere) {
  struct Case {
    CpusetMode mode;
    const char* cpus;
    int vcpus;
  };
  for (const Case& c :
       {Case{CpusetMode::kGuest, "", 2}, Case{CpusetMode::kGuest, "0", 2},
        Case{CpusetMode::kGuest, "2,4", 5}, Case{CpusetMode::kGuest, "7", 8},
        Case{CpusetMode::kGuest, "8191", 8},
        Case{CpusetMode::kPin, "2,4", 2}}) {
    ContainerResources named = Limits(500, 0);
    named.cpuset_cpus = c.cpus;
    PodSizing sizing = SizingOf({Limits(1500, 0), named}, Limits(0, 0));
    sizing.cpuset = c.mode;

    const VmTarget target = TargetOf(sizing).value();

    EXPECT_EQ(target.size.vcpus, c.vcpus) << c.cpus;
    EXPECT_EQ(target.wanted_milli_cpu, 2000);
    EXPECT_FALSE(target.vcpus_clamped);
  }
}

TEST(PodSizingTest, AFloorOfThePodCutsNothing) {
  PodSizing sizing = SizingOf({Limits(0, 64 * kMiB)}, Limits(0, 2048 * kMiB));
  sizing.pod_total_use = PodTotalUse::kCapAndFloor;

  EXPECT_EQ(TargetOf(sizing)->cut_by_pod, PodDemand());
}

TEST(PodSizingTest, AMaximumCanBeLoweredButNotRaised) {
  EXPECT_EQ(LimitsOf(Settings(), {.max_vcpus = 2})->max_vcpus, 2);
  EXPECT_EQ(LimitsOf(Settings(), {.max_vcpus = 200})->max_vcpus, 8);
}

TEST(PodSizingTest, ABaseAboveTheMaximumIsRefusedWithBothFigures) {
  const absl::Status cpu =
      LimitsOf(Settings(), {.base_milli_cpu = 8001}).status();
  EXPECT_TRUE(absl::IsInvalidArgument(cpu));
  EXPECT_THAT(std::string(cpu.message()),
              AllOf(HasSubstr("9 vCPUs"), HasSubstr("maximum of 8")));

  EXPECT_TRUE(absl::IsInvalidArgument(
      LimitsOf(Settings(), {.base_memory_bytes = 8193 * kMiB}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      LimitsOf(Settings(), {.base_milli_cpu = 4000, .max_vcpus = 2}).status()));
}

TEST(PodSizingTest, TheMaximumHoldsWithAndWithoutHotplug) {
  struct Case {
    SizeOverrides size;
    const char* refusal;  // a part of it; empty: none
  };
  const Case kCases[] = {
      {{.base_milli_cpu = 8000, .base_memory_bytes = 8192 * kMiB}, ""},
      {{.base_milli_cpu = 8001}, "9 vCPUs is above the maximum of 8"},
      {{.base_milli_cpu = 240'000}, "240 vCPUs is above the maximum of 8"},
      {{.base_milli_cpu = 4000, .max_vcpus = 2}, "4 vCPUs is above the maxi"},
      {{.base_memory_bytes = 8192 * kMiB + 1}, "maximum of 8589934592"},
  };
  for (const Case& c : kCases) {
    for (const PodSettings& settings : {Settings(), WithoutHotplug()}) {
      const absl::Status status = LimitsOf(settings, c.size).status();

      EXPECT_EQ(status.ok(), *c.refusal == '\0') << c.refusal << status;
      EXPECT_TRUE(status.ok() || absl::IsInvalidArgument(status)) << status;
      EXPECT_THAT(std::string(status.message()), HasSubstr(c.refusal));
    }
  }
}

TEST(PodSizingTest, WithoutHotplugTheBaseIsAllThereIs) {
  const VmLimits limits =
      LimitsOf(WithoutHotplug(),
               {.base_milli_cpu = 2000, .base_memory_bytes = 2048 * kMiB})
          .value();

  EXPECT_EQ(limits.max_vcpus, 2);
  EXPECT_EQ(limits.max_memory_bytes, 2048 * kMiB);
  const VmLimits plain = LimitsOf(WithoutHotplug(), {}).value();
  EXPECT_EQ(plain.max_vcpus, 1);
  EXPECT_EQ(plain.max_memory_bytes, 1024 * kMiB);
}

TEST(PodSizingTest, ALimitAboveAVmWithoutHotplugIsRefusedWithBothFigures) {
  const VmLimits fixed = WithoutHotplug().limits;
  EXPECT_TRUE(
      CheckFitsWithoutHotplug({.memory_bytes = 1024 * kMiB}, fixed).ok());
  EXPECT_TRUE(
      CheckFitsWithoutHotplug({.memory_bytes = 4096 * kMiB}, Settings().limits)
          .ok());

  const absl::Status status =
      CheckFitsWithoutHotplug({.memory_bytes = 2048 * kMiB}, fixed);
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("2147483648"), HasSubstr("1073741824")));
}

TEST(PodSizingTest, ABaseOfPartOfACpuIsALimitOnTheHostThatFollowsTheDemand) {
  const struct {
    Sizing sizing;
    int64_t base;
    int64_t demand;
    std::optional<int64_t> limit;
  } kCases[] = {
      {Sizing::kShared, 500, 0, 500},
      {Sizing::kShared, 500, 500, 500},
      {Sizing::kShared, 500, 501, 501},
      {Sizing::kShared, 500, 1000, std::nullopt},
      {Sizing::kShared, 500, 1300, 1300},
      {Sizing::kShared, 1500, 1300, 1500},
      {Sizing::kShared, 500, 4000, std::nullopt},
      {Sizing::kAdditive, 500, 0, 500},
      {Sizing::kAdditive, 500, 250, 750},
      {Sizing::kAdditive, 500, 500, std::nullopt},
      {Sizing::kAdditive, 500, 1000, 1500},
      // Clamped to the maximum of 4: all of them.
      {Sizing::kAdditive, 500, 9000, std::nullopt},
      // Whole CPUs are given whole, whatever the containers ask for.
      {Sizing::kShared, 1000, 0, std::nullopt},
      {Sizing::kShared, 1000, 1300, std::nullopt},
      {Sizing::kAdditive, 2000, 300, std::nullopt},
  };
  for (const auto& c : kCases) {
    SizingRules rules;
    rules.sizing = c.sizing;
    rules.base_milli_cpu = c.base;
    VmLimits limits;
    limits.boot_vcpus = static_cast<int>((c.base + 999) / 1000);
    limits.max_vcpus = 4;
    limits.boot_memory_bytes = limits.max_memory_bytes = int64_t{256} << 20;
    const absl::StatusOr<VmTarget> target =
        TargetFor({c.demand, 0}, rules, limits);
    ASSERT_TRUE(target.ok()) << target.status();

    EXPECT_EQ(HostCpuLimit(rules, *target), c.limit)
        << c.base << " and " << c.demand;
  }
}

TEST(PodSizingTest, APodAboveAVmWithoutHotplugIsRefusedWithBothFigures) {
  const VmLimits fixed = WithoutHotplug().limits;
  const PodDemand base = {.milli_cpu = 1000, .memory_bytes = 1024 * kMiB};
  EXPECT_TRUE(CheckPodFitsWithoutHotplug(base, fixed).ok());
  EXPECT_TRUE(
      CheckPodFitsWithoutHotplug({.milli_cpu = 4000}, Settings().limits).ok());

  const absl::Status memory =
      CheckPodFitsWithoutHotplug({.memory_bytes = 2048 * kMiB}, fixed);
  EXPECT_TRUE(absl::IsInvalidArgument(memory));
  EXPECT_THAT(std::string(memory.message()),
              AllOf(HasSubstr("2147483648"), HasSubstr("1073741824")));
  const absl::Status cpu =
      CheckPodFitsWithoutHotplug({.milli_cpu = 1001}, fixed);
  EXPECT_TRUE(absl::IsInvalidArgument(cpu));
  EXPECT_THAT(std::string(cpu.message()),
              AllOf(HasSubstr("1001 milli-CPU"), HasSubstr("1 vCPUs")));
}

}  // namespace
}  // namespace podvisor
