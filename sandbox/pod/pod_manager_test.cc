// Pods and their containers with a fake VM: which calls are made, in which
// order, and what is left when one of them fails. Real are the store, the run
// directory and the scratch disk, so this needs root.

#include "sandbox/pod/pod_manager.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sandbox/pod/container_lifecycle.h"
#include "sandbox/pod/pod_manager_fixture.h"
#include "sandbox/record/store_faults.h"

namespace podvisor {
namespace {

using PodManagerTest = PodManagerFixture;

TEST_F(PodManagerTest, APodBootsAtItsBaseAndIsReady) {
  const std::shared_ptr<Pod> pod = Run("base");

  const PodSnapshot snapshot = pod->Snapshot();
  EXPECT_EQ(snapshot.state, SandboxState::kReady);
  EXPECT_EQ(snapshot.vm.online_vcpus, 1);
  EXPECT_EQ(snapshot.vm.online_memory_bytes, 256 * kMiB);
}

TEST_F(PodManagerTest, TheGuestHasItsCpusBeforeTheContainerIsCreated) {
  const std::shared_ptr<Pod> pod = Run("grow");

  Create(pod, ContainerOf(4000, 2048));

  const VmSizes sizes = pod->Snapshot().vm;
  EXPECT_EQ(sizes.online_vcpus, 4);
  EXPECT_EQ(sizes.online_memory_bytes, 2048 * kMiB);
  EXPECT_GE(Position(Guest(pod), "SetOnlineCpus 4"), 0);
  EXPECT_LT(Position(Guest(pod), "SetOnlineCpus 4"),
            Position(Guest(pod), "Create "));
}

TEST_F(PodManagerTest, AFailedCreateLeavesNothingAndTheVmGivesBack) {
  const std::shared_ptr<Pod> pod = Run("undo");
  Guest(pod).SetFaults({.create_fails = true});

  const absl::Status status =
      pods_->CreateContainer(pod, ContainerOf(4000, 2048), Soon()).status();

  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_TRUE(pods_->ListContainers().empty());
  EXPECT_TRUE(store_->LoadAll()->containers.empty());
  EXPECT_TRUE(Guest(pod).mounted_images().empty());
  Settle();
  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 1);
  EXPECT_EQ(pod->Snapshot().vm.online_memory_bytes, 256 * kMiB);
}

TEST_F(PodManagerTest, WhatAnUndoneCreateLeavesIsRemovedOnceThatWorks) {
  const std::shared_ptr<Pod> pod = Run("later");
  StoreFaults store(settings_.root_dir);
  // The record is stored, and then nothing more.
  store.FailAfter(1);
  Guest(pod).SetFaults({.delete_fails = true});

  EXPECT_FALSE(
      pods_->CreateContainer(pod, ContainerOf(4000, 2048), Soon()).ok());

  EXPECT_TRUE(pods_->ListContainers().empty());
  EXPECT_EQ(Guest(pod).List(Soon())->size(), 1u);
  store.Heal();
  Guest(pod).SetFaults({});
  Settle();
  EXPECT_TRUE(Guest(pod).List(Soon())->empty());
  EXPECT_TRUE(Guest(pod).mounted_images().empty());
  EXPECT_TRUE(store_->LoadAll()->containers.empty());
}

TEST_F(PodManagerTest, ARemovalThatIsTriedAgainTakesNoImageFromAnother) {
  const std::shared_ptr<Pod> pod = Run("shared-image");
  const FoundContainer found = Create(pod, ContainerOf(100, 0));
  ContainerSpec other = ContainerOf(100, 0);
  other.name = "other";
  Create(pod, other);
  StoreFaults store(settings_.root_dir);
  store.FailAfter(1);  // the end is stored, its removal is not

  EXPECT_FALSE(pods_->RemoveContainer(found, Soon()).ok());
  store.Heal();
  EXPECT_TRUE(pods_->RemoveContainer(found, Soon()).ok());

  EXPECT_EQ(Guest(pod).mounted_images().size(), 1u);
}

TEST_F(PodManagerTest, AnImageWhoseDiskTheGuestKeptIsMountedAnew) {
  const std::shared_ptr<Pod> pod = Run("kept-disk");
  FakeQemu& qemu = launcher_.machine(pod->id())->qemu();
  const FoundContainer found = Create(pod, ContainerOf(100, 0));
  qemu.SetFaults({.guest_ignores_unplug = true});
  ASSERT_TRUE(pods_->RemoveContainer(found, Soon()).ok());
  ASSERT_TRUE(Guest(pod).mounted_images().empty());
  qemu.SetFaults({});

  Create(pod, ContainerOf(100, 0));

  EXPECT_EQ(Guest(pod).mounted_images().size(), 1u);
}

TEST_F(PodManagerTest, AStartThatCannotBeStoredHasHappenedAllTheSame) {
  const std::shared_ptr<Pod> pod = Run("started");
  const FoundContainer found = Create(pod, ContainerOf(100, 0));
  StoreFaults store(settings_.root_dir);
  store.FailAfter(0);

  EXPECT_TRUE(StartContainer(*pod, *found.container, Soon()).ok());

  EXPECT_EQ(found.container->phase(), ContainerPhase::kRunning);
  store.Heal();
}

TEST_F(PodManagerTest, AVmThatCannotGrowIsResourceExhaustedAndNamesTheStage) {
  const std::shared_ptr<Pod> pod = Run("stuck");
  Guest(pod).SetFaults({.cpu_never_onlines = true});

  const absl::Status status =
      pods_->CreateContainer(pod, ContainerOf(4000, 0), Soon()).status();

  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("guest"));
  EXPECT_EQ(Position(Guest(pod), "Create "), -1);
}

TEST_F(PodManagerTest, WhatAnExitedContainerHadGoesBackAfterTheDelay) {
  const std::shared_ptr<Pod> pod = Run("exit");
  const FoundContainer found = Create(pod, ContainerOf(4000, 1024));
  ASSERT_TRUE(StartContainer(*pod, *found.container, Soon()).ok());

  Guest(pod).Exit(found.container->id(), 3);
  ASSERT_TRUE(found.container->AwaitExit(Soon()));

  EXPECT_EQ(found.container->Snapshot().exit_code, 3);
  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 4);
  // The notice of the exit arms the timer on another thread.
  ASSERT_TRUE(
      StopContainer(*pod, *found.container, absl::Seconds(1), Soon()).ok());
  Settle();
  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 1);
  EXPECT_EQ(pod->Snapshot().vm.online_memory_bytes, 256 * kMiB);
}

TEST_F(PodManagerTest, AnUpdateUpwardsGrowsTheVmBeforeTheCgroupIsRaised) {
  const std::shared_ptr<Pod> pod = Run("grow");
  const FoundContainer found = Create(pod, ContainerOf(1000, 64));
  ContainerResources update;
  update.cpu_period = 100'000;
  update.cpu_quota = 400'000;

  ASSERT_TRUE(UpdateContainer(*pod, *found.container, update, Soon()).ok());

  const int grown = Position(Guest(pod), "SetOnlineCpus 4");
  EXPECT_GE(grown, 0);
  EXPECT_LT(grown,
            Position(Guest(pod), "Update " + found.container->id().value()));
}

TEST_F(PodManagerTest, AnUpdateDownwardsLowersTheCgroupBeforeTheVmShrinks) {
  const std::shared_ptr<Pod> pod = Run("down");
  const FoundContainer found = Create(pod, ContainerOf(4000, 1024));
  ContainerResources less;
  less.cpu_quota = 200'000;

  ASSERT_TRUE(UpdateContainer(*pod, *found.container, less, Soon()).ok());

  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 4);
  EXPECT_EQ(found.container->Snapshot().applied.cpu_quota, 200'000);
  Settle();
  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 2);
  EXPECT_LT(Position(Guest(pod), "Update "),
            Position(Guest(pod), "SetOnlineCpus 2"));
}

TEST_F(PodManagerTest, AFailedUpdateRestoresWhatWas) {
  const std::shared_ptr<Pod> pod = Run("restore");
  const FoundContainer found = Create(pod, ContainerOf(1000, 256));
  Guest(pod).SetFaults({.update_fails = true});
  ContainerResources more;
  more.cpu_quota = 400'000;

  const absl::Status status =
      UpdateContainer(*pod, *found.container, more, Soon());

  EXPECT_THAT(std::string(status.message()),
              testing::HasSubstr("container cgroup"));
  // Until the guest takes it, nobody knows what the cgroup has.
  EXPECT_EQ(found.container->Snapshot().applied.cpu_quota, 0);
  Guest(pod).SetFaults({});
  Settle();
  EXPECT_EQ(found.container->Snapshot().applied.cpu_quota, 100'000);
  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 1);
}

TEST_F(PodManagerTest, ResourcesOfThePodCapWhatItsContainersAskFor) {
  const std::shared_ptr<Pod> pod = Run("capped");
  Create(pod, ContainerOf(4000, 1024));
  ContainerResources total;
  total.cpu_period = 100'000;
  total.cpu_quota = 200'000;
  total.memory_limit_bytes = 512 * kMiB;

  ASSERT_TRUE(pod->resizer().UpdateTotals(total, std::nullopt, Soon()).ok());
  Settle();

  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 2);
  EXPECT_EQ(pod->Snapshot().vm.online_memory_bytes, 512 * kMiB);
  EXPECT_EQ(store_->LoadAll()->pods.at(0).updated_resources, total);
  total.cpu_quota = 300'000;
  ASSERT_TRUE(pod->resizer().UpdateTotals(total, std::nullopt, Soon()).ok());
  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 3);
  // The request that made the pod is still the same request.
  EXPECT_EQ(pods_->RunPod(Spec("capped"), Soon()).value(), pod->id());
}

TEST_F(PodManagerTest, AnUpdateOfThePodThatFailsChangesNothing) {
  const std::shared_ptr<Pod> pod = Run("fails");
  ContainerResources cap;
  cap.cpu_quota = 100'000;
  ASSERT_TRUE(pod->resizer().UpdateTotals(cap, std::nullopt, Soon()).ok());
  Create(pod, ContainerOf(4000, 0));
  Guest(pod).SetFaults({.cpu_never_onlines = true});
  ContainerResources more;
  more.cpu_quota = 400'000;

  EXPECT_FALSE(pod->resizer().UpdateTotals(more, std::nullopt, Soon()).ok());

  EXPECT_EQ(store_->LoadAll()->pods.at(0).updated_resources, cap);
  Settle();
  EXPECT_EQ(pod->Snapshot().vm.target_vcpus, 1);
  ContainerResources impossible;
  impossible.cpu_quota = -2;
  EXPECT_TRUE(absl::IsInvalidArgument(
      pod->resizer().UpdateTotals(impossible, std::nullopt, Soon())));
}

TEST_F(PodManagerTest, AStartedContainerHasStatsAndFreshOnesForWhoAsksAgain) {
  const std::shared_ptr<Pod> pod = Run("stats");
  const FoundContainer found = Create(pod, ContainerOf(1000, 64));
  const auto guest_says = [&](int64_t seconds) {
    agent::v1::GetStatsResponse stats;
    agent::v1::ContainerStats& one = *stats.add_containers();
    one.set_container_id(found.container->id().value());
    one.set_timestamp_unix_nanos(seconds * 1'000'000'000);
    Guest(pod).SetStats(stats);
  };
  const auto known = [&] {
    timers_.RunDue();
    return found.container->StatsSnapshot().usage.timestamp;
  };
  guest_says(1);
  EXPECT_EQ(known(), absl::InfinitePast());

  ASSERT_TRUE(StartContainer(*pod, *found.container, Soon()).ok());
  EXPECT_EQ(known(), absl::FromUnixSeconds(1));

  guest_says(2);
  pod->sampler().SampleIfOlderThan(absl::Milliseconds(500));
  EXPECT_EQ(known(), absl::FromUnixSeconds(1));
  clock_.Advance(absl::Milliseconds(500));
  pod->sampler().SampleIfOlderThan(absl::Milliseconds(500));
  EXPECT_EQ(known(), absl::FromUnixSeconds(2));

  guest_says(3);
  clock_.Step(absl::Hours(-1));
  clock_.Advance(absl::Milliseconds(500));
  pod->sampler().SampleIfOlderThan(absl::Milliseconds(500));
  EXPECT_EQ(known(), absl::FromUnixSeconds(3));
}

TEST_F(PodManagerTest, AVmThatDiesEndsItsContainersAndCanBeRemoved) {
  const std::shared_ptr<Pod> pod = Run("dies");
  const FoundContainer found = Create(pod, ContainerOf(1000, 64));
  ASSERT_TRUE(StartContainer(*pod, *found.container, Soon()).ok());

  launcher_.machine(pod->id())->Die("killed by the test");

  EXPECT_EQ(found.container->phase(), ContainerPhase::kExited);
  EXPECT_EQ(found.container->Snapshot().exit_code, 137);
  EXPECT_NE(pod->state(), SandboxState::kReady);
  timers_.RunDue();
  EXPECT_EQ(pod->state(), SandboxState::kStopped);
}

TEST_F(PodManagerTest, TheEndOfABusyPodsVmWaitsForItWithoutATimer) {
  const std::shared_ptr<Pod> pod = Run("busy");
  if (!pod->operation_lock().LockUntil(Soon())) FAIL();
  launcher_.machine(pod->id())->Die("killed by the test");

  std::thread([&] { timers_.RunDue(); }).join();
  EXPECT_EQ(pod->state(), SandboxState::kStopping);
  pod->operation_lock().Unlock();

  clock_.Advance(absl::Seconds(1));
  timers_.RunDue();
  EXPECT_EQ(pod->state(), SandboxState::kStopped);
}

TEST_F(PodManagerTest, ALineThatTheEndOfItsVmCutsOffIsInTheLog) {
  const std::shared_ptr<Pod> pod = Run("cut");
  ContainerSpec spec = ContainerOf(1000, 64);
  spec.log_path = "main.log";
  const FoundContainer found = Create(pod, spec);
  ASSERT_TRUE(StartContainer(*pod, *found.container, Soon()).ok());
  const std::shared_ptr<ContainerLog> log = found.container->pump()->log();
  Guest(pod).WriteOutput(found.container->id(), agent::v1::OutputChunk::STDOUT,
                         "no newline");
  while (log->received().stdout_bytes == 0) std::this_thread::yield();

  ASSERT_TRUE(pod->Stop(Soon()).ok());

  EXPECT_EQ(log->stored(), log->received());
}

TEST_F(PodManagerTest, AFailedBootIsForgottenAndDoesNotBlockARetry) {
  LaunchFaults panic;
  panic.launch = absl::UnavailableError("panic");
  launcher_.SetFaults(panic);
  EXPECT_TRUE(
      absl::IsUnavailable(pods_->RunPod(Spec("retry"), Soon()).status()));
  EXPECT_TRUE(store_->LoadAll()->pods.empty());

  launcher_.SetFaults(LaunchFaults());
  Run("retry");
}

TEST_F(PodManagerTest, AnEmptyOrUnknownPrefixIsNotFound) {
  Run("one");
  EXPECT_TRUE(absl::IsNotFound(pods_->FindPod("").status()));
  EXPECT_TRUE(absl::IsNotFound(pods_->FindPod("xyz").status()));
}

}  // namespace
}  // namespace podvisor
