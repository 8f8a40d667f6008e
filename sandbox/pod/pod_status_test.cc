// What the status and the metrics of a pod say while its VM does not become
// what its containers want.

#include <memory>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sandbox/pod/container_lifecycle.h"
#include "sandbox/pod/pod_manager_fixture.h"

namespace podvisor {
namespace {

using ::testing::HasSubstr;

class PodStatusTest : public PodManagerFixture {
 protected:
  VmSnapshot Measured() { return metrics_.Vms().at(0).snapshot; }
  uint64_t Counted(const LabelValues& labels) {
    const VmMetrics vm = metrics_.Vms().at(0);
    const auto found = vm.resizes.find(labels);
    return found == vm.resizes.end() ? 0 : found->second;
  }
  absl::Status TryCreate(const std::shared_ptr<Pod>& pod,
                         const ContainerSpec& spec) {
    return pods_->CreateContainer(pod, spec, Soon()).status();
  }
};

TEST_F(PodStatusTest, AGuestThatNeverOnlinesIsSeenInSizesErrorAndMetrics) {
  const std::shared_ptr<Pod> pod = Run("never-onlines");
  Guest(pod).SetFaults({.cpu_never_onlines = true});

  EXPECT_FALSE(TryCreate(pod, ContainerOf(4000, 0)).ok());

  const PodSnapshot status = pod->Snapshot();
  EXPECT_EQ(status.vm.target_vcpus, 1) << "its container is gone again";
  EXPECT_EQ(status.vm.plugged_vcpus, 4);
  EXPECT_EQ(status.vm.online_vcpus, 1);
  EXPECT_THAT(status.last_error, HasSubstr("guest online"));
  EXPECT_EQ(Counted({"cpu", "grow", "failed"}), 1u);
  Settle();
  EXPECT_EQ(Measured().target_vcpus, 1);
  EXPECT_EQ(Measured().plugged_vcpus, 4);
  EXPECT_EQ(Measured().online_vcpus, 1);
}

TEST_F(PodStatusTest, MemoryThatIsRefusedIsSeenInSizesErrorAndMetrics) {
  const std::shared_ptr<Pod> pod = Run("refused");
  launcher_.machine(pod->id())->qemu().SetFaults({.device_add_refused = true});

  const absl::Status created = TryCreate(pod, ContainerOf(0, 2048));

  EXPECT_TRUE(absl::IsResourceExhausted(created)) << created;
  const PodSnapshot status = pod->Snapshot();
  EXPECT_EQ(status.vm.target_memory_bytes, 256 * kMiB);
  EXPECT_EQ(status.vm.plugged_memory_bytes, 256 * kMiB);
  EXPECT_EQ(status.vm.shortfall_bytes, 0);
  EXPECT_THAT(status.last_error, HasSubstr("VM: "));
  EXPECT_EQ(Counted({"memory", "grow", "failed"}), 1u);
}

TEST_F(PodStatusTest, AfterQemuIsGoneAPodHasNothingAndSaysWhy) {
  const std::shared_ptr<Pod> pod = Run("gone");
  Create(pod, ContainerOf(2000, 1024));
  FakeMachine& machine = *launcher_.machine(pod->id());
  machine.qemu().SetFaults({.commands_until_connection_lost = 3});
  ContainerSpec more = ContainerOf(2000, 1024);
  more.name = "more";

  EXPECT_FALSE(TryCreate(pod, more).ok());
  EXPECT_EQ(pod->Snapshot().vm.target_vcpus, 2);
  EXPECT_NE(pod->Snapshot().last_error, "");
  machine.Die("killed by the test");

  const PodSnapshot status = pod->Snapshot();
  EXPECT_EQ(status.vm.target_vcpus, 0);
  EXPECT_EQ(status.vm.plugged_vcpus, 0);
  EXPECT_EQ(status.vm.online_memory_bytes, 0);
  EXPECT_EQ(status.vm.base_vcpus, 1);
  EXPECT_THAT(status.last_error, HasSubstr("killed by the test"));
}

TEST_F(PodStatusTest, TheGuestsMemoryIsAsOldAsTheSizesBesideIt) {
  const std::shared_ptr<Pod> pod = Run("fresh");
  Settle();
  const std::optional<int64_t> before = Measured().guest_memory_available_bytes;

  Create(pod, ContainerOf(0, 2048));

  EXPECT_GT(Measured().guest_memory_available_bytes, before);
  EXPECT_EQ(Measured().guest_memory_available_bytes,
            Guest(pod).size().memory_available_bytes);
}

TEST_F(PodStatusTest, AStoppedPodKeepsNoErrorOfAnEarlierResize) {
  const std::shared_ptr<Pod> pod = Run("stopped");
  Guest(pod).SetFaults({.cpu_never_onlines = true});
  EXPECT_FALSE(TryCreate(pod, ContainerOf(4000, 0)).ok());
  ASSERT_THAT(pod->Snapshot().last_error, HasSubstr("guest online"));

  ASSERT_TRUE(pod->Stop(Soon()).ok());

  EXPECT_EQ(pod->Snapshot().last_error, "");
}

TEST_F(PodStatusTest, WhatIsWantedChangesWithTheContainersAndNotWithTheVm) {
  const std::shared_ptr<Pod> pod = Run("wanted");
  const FoundContainer found = Create(pod, ContainerOf(4000, 1024));
  EXPECT_EQ(pod->Snapshot().vm.target_vcpus, 4);

  ASSERT_TRUE(pods_->RemoveContainer(found, Soon()).ok());

  EXPECT_EQ(pod->Snapshot().vm.target_vcpus, 1);
  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 4) << "until the shrink delay";
  Settle();
  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 1);
}

TEST_F(PodStatusTest, ATargetAboveTheMaximumIsClampedUntilItIsNoLonger) {
  const std::shared_ptr<Pod> pod = Run("clamped");
  const FoundContainer found = Create(pod, ContainerOf(64'000, 64));

  EXPECT_TRUE(pod->Snapshot().vm.vcpus_clamped);
  EXPECT_TRUE(Measured().cpu_clamped);
  EXPECT_FALSE(Measured().memory_clamped);
  ASSERT_TRUE(pods_->RemoveContainer(found, Soon()).ok());
  Settle();
  EXPECT_FALSE(pod->Snapshot().vm.vcpus_clamped);
  EXPECT_FALSE(Measured().cpu_clamped);
}

TEST_F(PodStatusTest, ASampleSeesWhatTheGuestGaveBackLate) {
  const std::shared_ptr<Pod> pod = Run("late");
  const FoundContainer found = Create(pod, ContainerOf(0, 1024));
  Guest(pod).SetFaults(
      {.keeps_memory_bytes = Guest(pod).size().memory_total_bytes});
  ASSERT_TRUE(pods_->RemoveContainer(found, Soon()).ok());
  Settle();
  EXPECT_EQ(Measured().shortfall_bytes, 768 * kMiB);
  EXPECT_EQ(Counted({"memory", "shrink", "partial"}), 1u);

  Guest(pod).SetFaults({});
  ASSERT_TRUE(pod->sampler().Sample(Soon()).ok());
  clock_.Advance(absl::Minutes(1));
  timers_.RunDue();

  EXPECT_EQ(Measured().shortfall_bytes, 0);
  EXPECT_EQ(pod->Snapshot().vm.online_memory_bytes, 256 * kMiB);
}

// Or the older one would be stored last, and a counter of it be taken for one
// of another disk.
TEST_F(PodStatusTest, NoTwoSamplesOfAPodAreTakenSideBySide) {
  const std::shared_ptr<Pod> pod = Run("sampled");
  absl::Status beside;
  Guest(pod).SetStatsHandler([&] {
    Guest(pod).SetStatsHandler(nullptr);
    beside = pod->sampler().Sample(clock_.Now());
  });

  EXPECT_TRUE(pod->sampler().Sample(Soon()).ok());
  EXPECT_TRUE(absl::IsDeadlineExceeded(beside)) << beside;
  EXPECT_TRUE(pod->sampler().Sample(clock_.Now()).ok());
}

}  // namespace
}  // namespace podvisor
