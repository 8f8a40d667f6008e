// What a daemon finds that an earlier one left half-way, on fake VMs.

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sandbox/pod/container_lifecycle.h"
#include "sandbox/pod/pod_manager_fixture.h"
#include "sandbox/record/vm_record_json.h"

namespace podvisor {
namespace {

using testing::Contains;
using testing::HasSubstr;

class PodRecoveryTest : public PodManagerFixture {
 protected:
  // Changes a pod's stored VM record, as a daemon that died there left it.
  void ChangeVmRecord(const PodId& id,
                      const std::function<void(VmRecord&)>& change) {
    LoadedState stored = store_->LoadAll().value();
    for (PodRecord& record : stored.pods) {
      if (record.id != id) continue;
      VmRecord vm = DecodeVmRecord(record.vm_json).value();
      change(vm);
      record.vm_json = EncodeVmRecord(vm);
      ASSERT_TRUE(store_->PutPod(record).ok());
    }
  }
  // Keeps no pod and no container of the daemon that is to end.
  ContainerId CreateRunning(const PodId& id, const ContainerSpec& spec) {
    const FoundContainer found =
        Create(pods_->FindPod(id.value()).value(), spec);
    EXPECT_TRUE(StartContainer(*found.pod, *found.container, Soon()).ok());
    return found.container->id();
  }
  static ContainerSpec ContainerWithMount(const std::string& name) {
    ContainerSpec spec = ContainerOf(1000, 64);
    spec.name = name;
    spec.mounts.push_back({"/etc/hosts", "/etc/hosts"});
    return spec;
  }
  int ShareDevices(const PodId& id) {
    int plugged = 0;
    for (const std::string& command :
         launcher_.machine(id)->qemu().commands()) {
      plugged += absl::StrContains(command, "vhost-user-fs-pci");
    }
    return plugged;
  }
};

TEST_F(PodRecoveryTest, ARecordThatCannotBeReadIsSkippedAndCounted) {
  const PodId id = Run("sound")->id();
  ContainerRecord unreadable;
  unreadable.id = ContainerId(RandomHexId());
  unreadable.pod_id = id;
  unreadable.phase = static_cast<ContainerPhase>(99);
  ASSERT_TRUE(store_->PutContainer(unreadable).ok());

  Restart();

  EXPECT_TRUE(pods_->FindPod(id.value()).ok());
  EXPECT_THAT(metrics_.broken_records().Values(),
              testing::ElementsAre(testing::Pair(LabelValues(), 1)));
}

TEST_F(PodRecoveryTest, RunningContainersGoOnWithTheNextDaemon) {
  const PodId id = Run("goes-on")->id();
  const ContainerId container = CreateRunning(id, ContainerOf(2000, 512));

  Restart();

  const FoundContainer after = pods_->FindContainer(container.value()).value();
  EXPECT_EQ(after.pod->state(), SandboxState::kReady);
  EXPECT_EQ(after.container->phase(), ContainerPhase::kRunning);
  EXPECT_EQ(after.pod->Snapshot().vm.online_vcpus, 2);
}

TEST_F(PodRecoveryTest, AContainerThatEndedMeanwhileHasItsExitCode) {
  const PodId id = Run("ended")->id();
  const ContainerId container = CreateRunning(id, ContainerOf(1000, 64));
  pods_.reset();

  launcher_.machine(id)->guest().Exit(container, 7);
  Restart();

  const FoundContainer after = pods_->FindContainer(container.value()).value();
  ASSERT_TRUE(after.container->AwaitExit(Soon()));
  EXPECT_EQ(after.container->Snapshot().exit_code, 7);
}

TEST_F(PodRecoveryTest, ALostVmIsStoppedWithAReasonAndItsContainersEnded) {
  const PodId id = Run("lost")->id();
  const ContainerId container = CreateRunning(id, ContainerOf(1000, 64));
  pods_.reset();

  launcher_.machine(id)->Die("killed by the test");
  Restart();

  const FoundContainer after = pods_->FindContainer(container.value()).value();
  EXPECT_EQ(after.pod->state(), SandboxState::kStopped);
  EXPECT_EQ(after.container->phase(), ContainerPhase::kExited);
  EXPECT_EQ(after.container->Snapshot().exit_code, 255);
  EXPECT_THAT(after.pod->Snapshot().last_error, HasSubstr("VM"));
}

TEST_F(PodRecoveryTest, APodThatWasBeingStoppedEndsAsItWouldHave) {
  const PodId id = Run("stopping")->id();
  const ContainerId container = CreateRunning(id, ContainerOf(1000, 64));
  pods_.reset();
  PodRecord record = store_->LoadAll()->pods.at(0);
  record.state = SandboxState::kStopping;
  ASSERT_TRUE(store_->PutPod(record).ok());

  Restart();

  const FoundContainer after = pods_->FindContainer(container.value()).value();
  EXPECT_EQ(after.pod->state(), SandboxState::kStopped);
  EXPECT_EQ(after.container->Snapshot().exit_code, 137);
  EXPECT_EQ(after.container->Snapshot().reason, "Error");
  EXPECT_EQ(after.pod->Snapshot().last_error, "");
}

TEST_F(PodRecoveryTest, AnUnfinishedCreateIsUndoneWithItsImageDisk) {
  const PodId id = Run("unfinished")->id();
  const ContainerId container =
      Create(pods_->FindPod(id.value()).value(), ContainerOf(1000, 64))
          .container->id();
  ContainerRecord record = store_->LoadAll()->containers.at(0);
  record.phase = ContainerPhase::kCreating;
  record.user.reset();
  ASSERT_TRUE(store_->PutContainer(record).ok());

  Restart();
  EXPECT_TRUE(
      absl::IsNotFound(pods_->FindContainer(container.value()).status()));
  timers_.RunDue();

  EXPECT_TRUE(store_->LoadAll()->containers.empty());
  FakeMachine& machine = *launcher_.machine(id);
  EXPECT_TRUE(machine.guest().mounted_images().empty());
  EXPECT_THAT(machine.guest().calls(), Contains("Delete " + container.value()));
  EXPECT_THAT(machine.qemu().commands(), Contains(HasSubstr("device_del")));
}

TEST_F(PodRecoveryTest, AnImageThatWasReleasedIsMountedForTheNextContainer) {
  const PodId id = Run("released")->id();
  std::string image;
  {
    // A daemon that died in RemoveContainer() after it had let the image go.
    const std::shared_ptr<Pod> pod = pods_->FindPod(id.value()).value();
    const FoundContainer found = Create(pod, ContainerOf(1000, 64));
    image = found.container->image_hex();
    ASSERT_TRUE(
        StopContainer(*pod, *found.container, absl::ZeroDuration(), Soon())
            .ok());
    ASSERT_TRUE(Guest(pod).UnmountImage(image, Soon()).ok());
  }

  Restart();
  ContainerSpec next = ContainerOf(1000, 64);
  next.name = "next";
  const std::shared_ptr<Pod> pod = pods_->FindPod(id.value()).value();
  Create(pod, next);

  EXPECT_EQ(Guest(pod).mounted_images().size(), 1);
}

TEST_F(PodRecoveryTest, WhatAVmsQemuBearsOutlivesAnotherQemuOnTheHost) {
  settings_.limits.vcpu_unplug = VcpuUnplug::kPark;
  const PodId id = Run("upgraded")->id();
  const ContainerId container = CreateRunning(id, ContainerOf(4000, 64));

  settings_.limits.vcpu_unplug = VcpuUnplug::kDevice;
  Restart();
  const FoundContainer found = pods_->FindContainer(container.value()).value();
  ASSERT_TRUE(RemoveContainer(*found.pod, *found.container, Soon()).ok());
  Settle();

  EXPECT_EQ(found.pod->Snapshot().vm.online_vcpus, 1);
  EXPECT_EQ(launcher_.machine(id)->qemu().vcpus(), 4);
}

TEST_F(PodRecoveryTest, AShareThatWasRecordedButNeverPluggedIsPlugged) {
  const PodId id = Run("share")->id();
  ChangeVmRecord(id, [](VmRecord& vm) {
    vm.virtiofsd = ProcessIdentity{1 << 23, 1};  // ended with its daemon
  });

  Restart();
  const std::shared_ptr<Pod> pod = pods_->FindPod(id.value()).value();
  EXPECT_EQ(pod->state(), SandboxState::kReady);
  Create(pod, ContainerWithMount("main"));

  EXPECT_EQ(ShareDevices(id), 1);
  EXPECT_GE(Position(Guest(pod), "MountShare "), 0);
}

TEST_F(PodRecoveryTest, AShareThatIsPluggedIsUsedAgain) {
  const PodId id = Run("again")->id();
  Create(pods_->FindPod(id.value()).value(), ContainerWithMount("main"));

  Restart();
  Create(pods_->FindPod(id.value()).value(), ContainerWithMount("next"));

  EXPECT_EQ(ShareDevices(id), 1);
}

TEST_F(PodRecoveryTest, ImageVolumesOfAnEarlierDaemonAreReleased) {
  const PodId id = Run("volumes")->id();
  ContainerSpec spec = ContainerOf(1000, 64);
  spec.mounts.resize(1);
  spec.mounts[0] = {"/files", "", true};
  spec.mounts[0].image = "files";
  const ContainerId container = CreateRunning(id, spec);
  FakeGuestAgent& guest = launcher_.machine(id)->guest();

  Restart();
  EXPECT_EQ(guest.mounted_images().size(), 2);
  ASSERT_TRUE(pods_
                  ->RemoveContainer(
                      pods_->FindContainer(container.value()).value(), Soon())
                  .ok());

  EXPECT_TRUE(guest.mounted_images().empty());
}

TEST_F(PodRecoveryTest, AGuestThatDoesNotAnswerRunsOnAndIsAskedAgain) {
  const PodId id = Run("silent")->id();
  const ContainerId container = CreateRunning(id, ContainerOf(2000, 512));
  FakeGuestAgent& guest = launcher_.machine(id)->guest();

  for (const GuestFaults& faults :
       {GuestFaults{.agent_hangs = true}, GuestFaults{.list_hangs = true}}) {
    guest.SetFaults(faults);
    Restart();
    const FoundContainer found =
        pods_->FindContainer(container.value()).value();
    EXPECT_EQ(found.pod->state(), SandboxState::kReady);
    EXPECT_EQ(found.container->phase(), ContainerPhase::kRunning);
    EXPECT_THAT(found.pod->Snapshot().last_error, HasSubstr("not answered"));
    const absl::Duration grace = absl::Seconds(1);
    EXPECT_TRUE(absl::IsUnavailable(
        StopContainer(*found.pod, *found.container, grace, Soon())));
    EXPECT_TRUE(absl::IsUnavailable(pods_->RemoveContainer(found, Soon())));
    clock_.Advance(absl::Minutes(1));
    timers_.RunDue();
    EXPECT_EQ(found.container->pump(), nullptr);

    guest.SetFaults({});
    clock_.Advance(absl::Minutes(1));
    timers_.RunDue();
    EXPECT_NE(found.container->pump(), nullptr);
    EXPECT_EQ(found.pod->Snapshot().last_error, "");
    EXPECT_EQ(found.pod->Snapshot().vm.online_vcpus, 2);
  }
  guest.Exit(container, 7);
  EXPECT_TRUE(pods_->FindContainer(container.value())
                  .value()
                  .container->AwaitExit(Soon()));
}

TEST_F(PodRecoveryTest, ASilentGuestCanBeStopped) {
  const PodId id = Run("silent")->id();
  CreateRunning(id, ContainerOf(1000, 64));
  launcher_.machine(id)->guest().SetFaults({.agent_hangs = true});
  Restart();

  EXPECT_TRUE(pods_->FindPod(id.value()).value()->Stop(Soon()).ok());
}

TEST_F(PodRecoveryTest, OutputWhoseLogCannotBeContinuedIsDrained) {
  PodSpec spec = Spec("log");
  spec.log_directory = directory_ + "/logs";
  ASSERT_TRUE(MakeDirectories(spec.log_directory).ok());
  const PodId id = pods_->RunPod(spec, Soon()).value();
  ContainerSpec logs = ContainerOf(1000, 64);
  logs.log_path = "main.log";
  const ContainerId container = CreateRunning(id, logs);
  pods_.reset();
  FakeGuestAgent& guest = launcher_.machine(id)->guest();
  const uint64_t before = guest.acknowledged(container).stdout_bytes;
  ASSERT_TRUE(RemoveTree(spec.log_directory).ok());
  ASSERT_TRUE(WriteFileAtomically(spec.log_directory, "a file").ok());

  Restart();
  guest.WriteOutput(container, agent::v1::OutputChunk::STDOUT, "line\n");
  guest.Exit(container, 0);

  const FoundContainer after = pods_->FindContainer(container.value()).value();
  ASSERT_NE(after.container->pump(), nullptr);
  EXPECT_TRUE(after.container->pump()->WaitDrained(Soon()).ok());
  EXPECT_EQ(guest.acknowledged(container).stdout_bytes, before + 5);
}

TEST_F(PodRecoveryTest, OnlyAContainerThatWasBeingUpdatedIsWrittenToAgain) {
  const PodId id = Run("applied")->id();
  const ContainerId container = CreateRunning(id, ContainerOf(2000, 512));
  FakeGuestAgent& guest = launcher_.machine(id)->guest();

  Restart();
  timers_.RunDue();
  EXPECT_EQ(Position(guest, "Update "), -1);

  ContainerResources tried;
  tried.cpu_quota = 400'000;
  ASSERT_TRUE(
      pods_->FindContainer(container.value())->container->SetTried(tried).ok());
  Restart();
  timers_.RunDue();
  EXPECT_GE(Position(guest, "Update "), 0);
}

}  // namespace
}  // namespace podvisor
