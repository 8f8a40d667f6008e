#include "cri/resize_dry_run.h"

#include "absl/strings/match.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using ::testing::ElementsAre;

constexpr int64_t kGiB = int64_t{1} << 30;

PodSettings Settings() {
  PodSettings settings;
  settings.limits.max_vcpus = 8;
  settings.limits.boot_memory_bytes = kGiB;
  settings.limits.max_memory_bytes = 9 * kGiB;
  settings.limits.memory_slots = 2;
  settings.sizing.base_milli_cpu = 1000;
  settings.sizing.base_memory_bytes = kGiB;
  return settings;
}

ContainerResources Asks(int64_t milli_cpu, int64_t memory_bytes) {
  ContainerResources resources;
  resources.cpu_period = 100'000;
  resources.cpu_quota = milli_cpu * 100;
  resources.memory_limit_bytes = memory_bytes;
  return resources;
}

ObservedSizing Booted(const PodSettings& settings) {
  return BootedVm(settings, PodSpec()).value();
}

TEST(ResizeDryRunTest, ContainersAreMadeOneAfterTheOther) {
  ObservedSizing pod = Booted(Settings());

  const DryRunStep first = DryRunCreate(Asks(2000, 2 * kGiB), pod);
  const DryRunStep second = DryRunCreate(Asks(1000, kGiB), pod);

  ASSERT_TRUE(first.refused.ok()) << first.refused;
  EXPECT_THAT(first.plan.steps,
              ElementsAre(RequestMemory{kGiB}, PlugVcpus{2}, OnlineVcpus{2},
                          AwaitMemoryGrown{kGiB}));
  EXPECT_EQ(second.demand, (PodDemand{3000, 3 * kGiB}));
  EXPECT_EQ(second.target.size, (VmSize{3, 3 * kGiB}));
  EXPECT_THAT(second.plan.steps,
              ElementsAre(RequestMemory{2 * kGiB}, PlugVcpus{3}, OnlineVcpus{3},
                          AwaitMemoryGrown{2 * kGiB}));
  EXPECT_TRUE(DryRunSettle(pod).plan.empty());
}

TEST(ResizeDryRunTest, ARefusedContainerLeavesThePodAsItWas) {
  PodSettings settings = Settings();
  settings.limits.memory_device = MemoryDevice::kPcDimm;
  settings.limits.memory_slots = 1;
  ObservedSizing pod = Booted(settings);
  DryRunCreate(Asks(0, 2 * kGiB), pod);
  const ObservedSizing before = pod;

  const DryRunStep more = DryRunCreate(Asks(0, 2 * kGiB), pod);

  EXPECT_TRUE(absl::IsResourceExhausted(more.refused)) << more.refused;
  EXPECT_TRUE(absl::StrContains(more.refused.message(), "slots are free"));
  EXPECT_EQ(more.target.size.memory_bytes, 4 * kGiB);
  EXPECT_EQ(pod, before);
}

TEST(ResizeDryRunTest, WhatCannotBeIsRefusedAsTheDaemonWould) {
  ObservedSizing pod = Booted(Settings());
  ContainerResources negative;
  negative.cpu_quota = -2;
  EXPECT_TRUE(absl::IsInvalidArgument(DryRunCreate(negative, pod).refused));

  PodSettings fixed = Settings();
  fixed.limits.memory_device = MemoryDevice::kNone;
  fixed.limits.max_memory_bytes = kGiB;
  ObservedSizing small = Booted(fixed);
  const DryRunStep large = DryRunCreate(Asks(0, 2 * kGiB), small);
  EXPECT_TRUE(absl::IsInvalidArgument(large.refused));
  EXPECT_TRUE(absl::StrContains(large.refused.message(), "hot plug is off"));
}

TEST(ResizeDryRunTest, AClampIsShownAndNotRefused) {
  ObservedSizing pod = Booted(Settings());

  const DryRunStep step = DryRunCreate(Asks(64'000, 0), pod);

  EXPECT_TRUE(step.refused.ok()) << step.refused;
  EXPECT_TRUE(step.target.vcpus_clamped);
  EXPECT_EQ(step.target.wanted_vcpus, 64);
  EXPECT_EQ(pod.observed.vcpus_online, 8);
}

TEST(ResizeDryRunTest, WhatTheVmHasAboveStaysUntilItSettles) {
  ObservedSizing pod = Booted(Settings());
  DryRunCreate(Asks(4000, 4 * kGiB), pod);
  pod.sizing.containers.clear();  // it has ended

  const DryRunStep create = DryRunCreate(Asks(2000, 2 * kGiB), pod);
  const DryRunStep later = DryRunSettle(pod);

  EXPECT_TRUE(create.plan.empty());
  EXPECT_THAT(later.plan.steps,
              ElementsAre(OfflineVcpus{2}, RequestMemory{kGiB},
                          AwaitMemoryShrunk{kGiB}));
}

TEST(ResizeDryRunTest, AnnotationsAndPodResourcesOfANewPodCount) {
  PodSpec spec;
  spec.size.base_milli_cpu = 2000;
  spec.resources = Asks(3000, 0);
  ObservedSizing pod = BootedVm(Settings(), spec).value();
  EXPECT_EQ(pod.observed.vcpus_online, 2);

  EXPECT_EQ(DryRunCreate(Asks(8000, 0), pod).target.size.vcpus, 3);

  spec.size.base_memory_bytes = 100 * kGiB;
  EXPECT_TRUE(absl::IsInvalidArgument(BootedVm(Settings(), spec).status()));
}

TEST(ResizeDryRunTest, WhatExceedsThePodsAccountIsRefusedOrWarnedOf) {
  PodSettings settings = Settings();
  settings.vm.accelerator = Accelerator::kTcg;
  PodSpec spec;
  spec.resources = Asks(0, 2 * kGiB);
  // 1204 MiB are what a VMM of one vCPU and 2 GiB costs, and 1232 of eight.
  spec.overhead = Asks(0, int64_t{1210} << 20);
  ObservedSizing warned = BootedVm(settings, spec).value();
  settings.accounting_guard = AccountingGuard::kEnforce;
  ObservedSizing enforced = BootedVm(settings, spec).value();

  EXPECT_TRUE(DryRunCreate(Asks(0, 2 * kGiB), enforced).refused.ok());
  const DryRunStep refused = DryRunCreate(Asks(8000, 0), enforced);
  const DryRunStep allowed = DryRunCreate(Asks(8000, 2 * kGiB), warned);

  EXPECT_TRUE(absl::IsResourceExhausted(refused.refused)) << refused.refused;
  EXPECT_TRUE(absl::StrContains(refused.refused.message(), "podFixed"));
  EXPECT_TRUE(allowed.refused.ok()) << allowed.refused;
  EXPECT_TRUE(absl::IsResourceExhausted(allowed.warning)) << allowed.warning;
  spec.overhead = Asks(0, 16 << 20);
  EXPECT_TRUE(absl::IsResourceExhausted(BootedVm(settings, spec).status()));
}

TEST(ResizeDryRunTest, APresizedPodHasItsSizeBeforeItsFirstContainer) {
  PodSettings settings = Settings();
  settings.presize = true;
  PodSpec spec;
  spec.resources = Asks(3000, 2 * kGiB);

  ObservedSizing pod = BootedVm(settings, spec).value();

  EXPECT_EQ(pod.observed.vcpus_online, 3);
  EXPECT_EQ(pod.observed.hotplug_online_bytes, kGiB);
  EXPECT_TRUE(DryRunCreate(Asks(1000, kGiB), pod).plan.empty());
  EXPECT_TRUE(DryRunSettle(pod).plan.empty());

  settings.limits.memory_device = MemoryDevice::kNone;
  settings.limits.max_memory_bytes = kGiB;
  EXPECT_TRUE(absl::IsInvalidArgument(BootedVm(settings, spec).status()));
}

}  // namespace
}  // namespace podvisor
