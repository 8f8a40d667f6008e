// What a container's status says of its resources: what the guest has, in the
// units of the request, whatever became of an update. On fake VMs.

#include "gtest/gtest.h"
#include "sandbox/pod/container_lifecycle.h"
#include "sandbox/pod/pod_manager_fixture.h"

namespace podvisor {
namespace {

class ContainerStatusTest : public PodManagerFixture {
 protected:
  static ContainerResources Applied(const FoundContainer& found) {
    return found.container->Snapshot().applied;
  }
  agent::v1::LinuxResources InGuest(const FoundContainer& found) {
    return Guest(found.pod).spec(found.container->id())->resources();
  }
  static ContainerResources Asked() {
    ContainerResources resources = ContainerOf(2000, 512).resources;
    resources.cpu_shares = 512;
    resources.oom_score_adj = 900;
    resources.hugepage_limits = {{"2MB", 0}};
    resources.unified["memory.high"] = "1000000";
    return resources;
  }
  FoundContainer CreateAsked(const std::string& pod) {
    ContainerSpec spec = ContainerOf(0, 0);
    spec.resources = Asked();
    return Create(Run(pod), spec);
  }
};

TEST_F(ContainerStatusTest, ANewContainersAreThoseItAskedFor) {
  EXPECT_EQ(Applied(CreateAsked("new")), Asked());
}

TEST_F(ContainerStatusTest, PartialUpdatesAddUp) {
  const FoundContainer found = CreateAsked("partial");
  ContainerResources cpu;
  cpu.cpu_quota = 100'000;
  ContainerResources memory;
  memory.memory_limit_bytes = 256 * kMiB;
  memory.unified["memory.low"] = "4096";

  ASSERT_TRUE(UpdateContainer(*found.pod, *found.container, cpu, Soon()).ok());
  ASSERT_TRUE(
      UpdateContainer(*found.pod, *found.container, memory, Soon()).ok());

  ContainerResources sum = Asked();
  sum.cpu_quota = 100'000;
  sum.memory_limit_bytes = 256 * kMiB;
  sum.unified["memory.low"] = "4096";
  EXPECT_EQ(Applied(found), sum);
  EXPECT_EQ(InGuest(found).cpu_quota_micros(), 100'000);
  EXPECT_EQ(InGuest(found).memory_limit_bytes(), 256 * kMiB);
}

TEST_F(ContainerStatusTest, AFailedUpdateLeavesWhatWas) {
  const FoundContainer found = CreateAsked("failed");
  Guest(found.pod).SetFaults({.updates_half_done = 1});

  EXPECT_FALSE(UpdateContainer(*found.pod, *found.container,
                               ContainerOf(4000, 1024).resources, Soon())
                   .ok());

  EXPECT_EQ(Applied(found), Asked());
  EXPECT_EQ(InGuest(found).cpu_quota_micros(), 200'000);
}

TEST_F(ContainerStatusTest, WhatNobodyCanTellIsNotShownUntilItIsKnown) {
  const FoundContainer found = CreateAsked("unknown");
  Guest(found.pod).SetFaults({.update_fails = true, .updates_half_done = 1});
  ContainerResources update;
  update.memory_limit_bytes = 1024 * kMiB;
  update.unified["memory.high"] = "2000000";

  EXPECT_FALSE(
      UpdateContainer(*found.pod, *found.container, update, Soon()).ok());

  ContainerResources sure = Asked();
  sure.memory_limit_bytes = 0;
  sure.unified.clear();
  EXPECT_EQ(Applied(found), sure);
  Guest(found.pod).SetFaults({});
  clock_.Advance(absl::Seconds(1));
  timers_.RunDue();
  EXPECT_EQ(Applied(found), Asked());
  EXPECT_EQ(InGuest(found).memory_limit_bytes(), 512 * kMiB);
}

TEST_F(ContainerStatusTest, WhatCannotBeTakenBackIsShownAsTheGuestHasIt) {
  const FoundContainer found = CreateAsked("half");
  Guest(found.pod).SetFaults({.update_fails = true, .updates_half_done = 1});
  ContainerResources update;
  update.cpu_shares = 1024;
  update.memory_limit_bytes = 1024 * kMiB;
  update.unified["memory.high"] = "2000000";
  EXPECT_FALSE(
      UpdateContainer(*found.pod, *found.container, update, Soon()).ok());
  EXPECT_EQ(Applied(found).memory_limit_bytes, 0) << "not asked yet";

  // Nobody updates it again: the guest is asked, for it cannot be restored.
  timers_.RunDue();

  ContainerResources half = Asked();
  half.cpu_shares = 1024;
  half.memory_limit_bytes = 1024 * kMiB;
  half.unified["memory.high"] = "2000000";
  EXPECT_EQ(Applied(found), half);
  // A guest that does not answer any more may have been changed in silence.
  Guest(found.pod).SetFaults({.agent_hangs = true});
  clock_.Advance(absl::Seconds(30));
  timers_.RunDue();
  EXPECT_EQ(Applied(found).memory_limit_bytes, 0);
  Guest(found.pod).SetFaults({.update_fails = true});
  clock_.Advance(absl::Seconds(60));
  timers_.RunDue();
  EXPECT_EQ(Applied(found), half);
  Guest(found.pod).SetFaults({});
  clock_.Advance(absl::Seconds(60));
  timers_.RunDue();
  EXPECT_EQ(Applied(found), Asked());
}

TEST_F(ContainerStatusTest,
       AFailedUpdateAfterItShowsWhatWasSeenUntilItIsKnown) {
  const FoundContainer found = CreateAsked("twice");
  Guest(found.pod).SetFaults({.update_fails = true, .updates_half_done = 1});
  ContainerResources first;
  first.memory_limit_bytes = 1024 * kMiB;
  EXPECT_FALSE(
      UpdateContainer(*found.pod, *found.container, first, Soon()).ok());
  timers_.RunDue();
  ASSERT_EQ(Applied(found).memory_limit_bytes, 1024 * kMiB);
  Guest(found.pod).SetFaults({.update_fails = true, .updates_half_done = 1});
  ContainerResources second;
  second.cpu_quota = 300'000;

  EXPECT_FALSE(
      UpdateContainer(*found.pod, *found.container, second, Soon()).ok());

  EXPECT_EQ(Applied(found).cpu_quota, 0) << "what was seen is over";
  timers_.RunDue();
  // The second one said all anew, and so the first is taken back.
  EXPECT_EQ(Applied(found).cpu_quota, 300'000);
  EXPECT_EQ(Applied(found).memory_limit_bytes, 512 * kMiB);
}

TEST_F(ContainerStatusTest, AnUpdateAfterOneThatNobodyCanTellOfSaysAllAnew) {
  const FoundContainer found = CreateAsked("anew");
  Guest(found.pod).SetFaults({.update_fails = true, .updates_half_done = 1});
  ContainerResources lost;
  lost.memory_limit_bytes = 1024 * kMiB;
  lost.unified["memory.low"] = "4096";
  EXPECT_FALSE(
      UpdateContainer(*found.pod, *found.container, lost, Soon()).ok());
  Guest(found.pod).SetFaults({});
  ContainerResources cpu;
  cpu.cpu_quota = 100'000;

  ASSERT_TRUE(UpdateContainer(*found.pod, *found.container, cpu, Soon()).ok());

  ContainerResources sum = Asked();
  sum.cpu_quota = 100'000;
  EXPECT_EQ(Applied(found), sum);
  EXPECT_EQ(InGuest(found).memory_limit_bytes(), 512 * kMiB);
  EXPECT_EQ(InGuest(found).unified().at("memory.low"), "0");
}

TEST_F(ContainerStatusTest, AnUpdateForWhichTheVmCannotGrowLeavesWhatWas) {
  const FoundContainer found = CreateAsked("no-room");
  Guest(found.pod).SetFaults({.cpu_never_onlines = true});

  EXPECT_FALSE(UpdateContainer(*found.pod, *found.container,
                               ContainerOf(8000, 512).resources, Soon())
                   .ok());

  EXPECT_EQ(Applied(found), Asked());
  EXPECT_EQ(InGuest(found).cpu_quota_micros(), 200'000);
}

TEST_F(ContainerStatusTest, TheNextDaemonSaysTheSame) {
  ContainerId id;
  {
    const FoundContainer found = CreateAsked("restart");
    ContainerResources update;
    update.cpu_quota = 300'000;
    ASSERT_TRUE(
        UpdateContainer(*found.pod, *found.container, update, Soon()).ok());
    id = found.container->id();
  }

  Restart();

  ContainerResources updated = Asked();
  updated.cpu_quota = 300'000;
  EXPECT_EQ(Applied(pods_->FindContainer(id.value()).value()), updated);
}

TEST_F(ContainerStatusTest, AnUpdateThatADeadDaemonLeftInTheGuestIsTakenBack) {
  ContainerId id;
  {
    ContainerSpec spec = ContainerOf(2000, 0);
    const FoundContainer found = Create(Run("torn"), spec);
    id = found.container->id();
    // The daemon dies after the guest's answer and before its own record.
    ContainerResources after = found.container->resources();
    after.cpu_quota = 100'000;
    after.memory_limit_bytes = 64 * kMiB;
    ASSERT_TRUE(found.container->SetTried(after).ok());
    agent::v1::LinuxResources update;
    update.set_cpu_quota_micros(100'000);
    update.set_memory_limit_bytes(64 * kMiB);
    ASSERT_TRUE(Guest(found.pod).Update(id, update, Soon()).ok());
  }

  Restart();
  const FoundContainer found = pods_->FindContainer(id.value()).value();
  EXPECT_EQ(Applied(found).cpu_quota, 0) << "not known yet";
  timers_.RunDue();

  EXPECT_EQ(Applied(found).cpu_quota, 200'000);
  EXPECT_EQ(Applied(found).memory_limit_bytes, 0);
  EXPECT_EQ(InGuest(found).cpu_quota_micros(), 200'000);
  EXPECT_EQ(InGuest(found).memory_limit_bytes(), -1);
}

}  // namespace
}  // namespace podvisor
