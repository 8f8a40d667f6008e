// How a pod's VM follows its containers: who waits for whom, and what is given
// back when.

#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sandbox/pod/pod_resize_fixture.h"

namespace podvisor {
namespace {

using testing::HasSubstr;

using PodResizeTest = PodResizeFixture;

TEST_F(PodResizeTest, ContainersThatAreCreatedAtOnceMakeOnePlan) {
  const std::shared_ptr<Pod> pod = Run("together");
  std::vector<ContainerSpec> specs;
  for (int i = 0; i < 8; ++i) {
    specs.push_back(Named("c" + std::to_string(i), 500, 128));
  }

  for (const absl::Status& created : CreateTogether(pod, specs)) {
    EXPECT_TRUE(created.ok()) << created;
  }

  // Three vCPUs, the memory's backend and its device.
  EXPECT_EQ(Resizes(pod).size(), 5u);
  EXPECT_EQ(CountCalls(Guest(pod), "SetOnlineCpus"), 1);
  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 4);
  EXPECT_EQ(pod->Snapshot().vm.online_memory_bytes, 1024 * kMiB);
}

TEST_F(PodResizeTest, NobodyIsRefusedForWhatAnotherContainerAsks) {
  settings_.limits.memory_device = MemoryDevice::kPcDimm;
  settings_.limits.memory_slots = 1;
  const std::shared_ptr<Pod> pod = Run("fair");
  Guest(pod).SetMemoryAvailable(16 * kMiB);  // carries DIMMs of 512 MiB

  const std::vector<absl::Status> created = CreateTogether(
      pod, {Named("huge", 1000, 4096), Named("small", 1000, 512)});

  EXPECT_TRUE(absl::IsResourceExhausted(created[0])) << created[0];
  EXPECT_THAT(std::string(created[0].message()), HasSubstr("slots are free"));
  EXPECT_TRUE(created[1].ok()) << created[1];
}

TEST_F(PodResizeTest, NobodyIsRefusedForTheTimeThatAnotherContainerTakes) {
  const std::shared_ptr<Pod> pod = Run("patient");
  // One of them needs 16 s and has 30; both would need 32.
  Guest(pod).SetFaults({.memory_per_gib = absl::Seconds(16)});

  const std::vector<absl::Status> created = CreateTogether(
      pod, {Named("one", 1000, 1280), Named("other", 1000, 1024)});

  EXPECT_TRUE(created[0].ok() || created[1].ok()) << created[0] << created[1];
}

TEST_F(PodResizeTest, WhatAnUpdateWasGivenIsNobodyElsesRoom) {
  settings_.limits.memory_device = MemoryDevice::kPcDimm;
  settings_.limits.memory_slots = 1;
  const std::shared_ptr<Pod> pod = Run("update");
  const FoundContainer grows = Running(pod, Named("grows", 1000, 128));
  // As in an update whose VM has grown, and whose cgroup is being changed.
  ContainerResources after = grows.container->resources();
  after.memory_limit_bytes = 1024 * kMiB;
  grows.container->SetUpdate(after);
  {
    ASSERT_TRUE(pod->operation_lock().LockUntil(absl::InfiniteFuture()));
    const OperationHolder operation(&pod->operation_lock());
    ASSERT_TRUE(pod->resizer().Grow(grows.container.get(), Soon()).ok());
  }
  grows.container->SetUpdateHasRoom();

  const absl::Status created =
      pods_->CreateContainer(pod, Named("late", 1000, 768), Soon()).status();

  EXPECT_TRUE(absl::IsResourceExhausted(created)) << created;
  grows.container->SetUpdate(std::nullopt);
}

TEST_F(PodResizeTest, AStartWaitsForNobodyElsesRoom) {
  const std::shared_ptr<Pod> pod = Run("start");
  const FoundContainer found = Create(pod, Named("main", 1000, 128));
  const FoundContainer waits = Create(pod, Named("waits", 1000, 128));
  ContainerResources after = waits.container->resources();
  after.cpu_quota = 400'000;
  waits.container->SetUpdate(after);

  ASSERT_TRUE(pod->operation_lock().LockUntil(absl::InfiniteFuture()));
  const OperationHolder others(&pod->operation_lock());
  std::thread([&] {
    EXPECT_TRUE(StartContainer(*pod, *found.container, Soon()).ok());
  }).join();
  waits.container->SetUpdate(std::nullopt);
}

TEST_F(PodResizeTest, NothingThatHappensOftenPostponesWhatIsDue) {
  const std::shared_ptr<Pod> pod = Run("often");
  End(pod, Running(pod, Named("big", 6000, 1024)));

  for (int second = 0; second < 5; ++second) {
    EXPECT_EQ(Qemu(pod).vcpus(), 6);
    const std::string name = "small" + std::to_string(second);
    End(pod, Running(pod, Named(name, 100, 0)));
    Pass(absl::Seconds(1));
  }

  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 1);
}

TEST_F(PodResizeTest, AContainerThatComesBackInTimeFindsItsRoom) {
  const std::shared_ptr<Pod> pod = Run("restarts");
  FoundContainer found = Running(pod, Named("web", 4000, 1024));
  const std::vector<std::string> before = Resizes(pod);

  for (int round = 0; round < 4; ++round) {
    End(pod, found);
    ASSERT_TRUE(pods_->RemoveContainer(found, Soon()).ok());
    Pass(absl::Seconds(4));
    found = Running(pod, Named("web", 4000, 1024));
    Pass(absl::Seconds(4));
  }

  EXPECT_EQ(Resizes(pod), before);
  EXPECT_EQ(CountCalls(Guest(pod), "SetOnlineCpus"), 1);
  End(pod, found);
  Pass(absl::Seconds(5));
  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 1);
}

TEST_F(PodResizeTest, AContainerThatComesBackToAnotherDaemonFindsItsRoomToo) {
  PodId id;
  std::vector<std::string> before;
  {
    const std::shared_ptr<Pod> pod = Run("restarted");
    id = pod->id();
    End(pod, Running(pod, Named("web", 4000, 1024)));
    before = Resizes(pod);
  }
  Pass(absl::Seconds(1));

  Restart();
  Pass(absl::Seconds(3));

  const std::shared_ptr<Pod> pod = pods_->FindPod(id.value()).value();
  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 4);
  ContainerSpec again = Named("web", 4000, 1024);
  again.attempt = 1;
  const FoundContainer found = Running(pod, again);
  EXPECT_EQ(Resizes(pod), before);
  End(pod, found);
  Pass(absl::Seconds(5));
  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 1);
}

TEST_F(PodResizeTest, AnUpdateDownwardsLeavesWhatIsHeldForAnother) {
  const std::shared_ptr<Pod> pod = Run("held");
  const FoundContainer stays = Running(pod, Named("stays", 3000, 0));
  End(pod, Running(pod, Named("ends", 4000, 0)));

  ASSERT_TRUE(
      UpdateContainer(*pod, *stays.container, Quota(1000), Soon()).ok());
  Pass(absl::Seconds(1));
  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 5);

  Pass(absl::Seconds(4));
  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 1);
}

TEST_F(PodResizeTest, DuringAnUpdateTheVmHasRoomForBefore) {
  const std::shared_ptr<Pod> pod = Run("during");
  const FoundContainer found = Running(pod, ContainerOf(4000, 1024));
  ContainerResources after = found.container->resources();
  after.cpu_quota = 100'000;

  // The guest is lowering the cgroup meanwhile.
  found.container->SetUpdate(after);
  pod->settle().After(absl::ZeroDuration());
  for (int i = 0; i < 20; ++i) Pass(absl::Seconds(1));

  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 4);
  found.container->SetUpdate(std::nullopt);
}

TEST_F(PodResizeTest, NothingIsGivenBackWhileAContainerWaitsToGrow) {
  const std::shared_ptr<Pod> pod = Run("waits");
  const FoundContainer waits = Running(pod, Named("waits", 100, 0));
  End(pod, Running(pod, Named("ends", 3900, 0)));
  waits.container->SetUpdate(waits.container->resources());

  Pass(absl::Seconds(9));
  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 4);

  // Not for ever, though.
  for (int i = 0; i < 60; ++i) Pass(absl::Milliseconds(100));
  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 1);
  waits.container->SetUpdate(std::nullopt);
}

TEST_F(PodResizeTest, NoQueueOfCallersKeepsTheLoopOut) {
  const std::shared_ptr<Pod> pod = Run("queue");
  End(pod, Running(pod, Named("ends", 4000, 0)));
  int vcpus_of_the_next = 0;
  std::thread next;
  {
    ASSERT_TRUE(pod->operation_lock().LockUntil(absl::InfiniteFuture()));
    const OperationHolder others(&pod->operation_lock());
    for (int i = 0; i < 11; ++i) Pass(absl::Seconds(1));
    next = std::thread([&] {
      ASSERT_TRUE(pod->operation_lock().LockUntil(absl::InfiniteFuture()));
      const OperationHolder after_the_loop(&pod->operation_lock());
      vcpus_of_the_next = pod->Snapshot().vm.online_vcpus;
    });
  }

  EXPECT_EQ(timers_.RunDue(), 1) << "at once, and not at its next try";

  next.join();
  EXPECT_EQ(vcpus_of_the_next, 1);
}

TEST_F(PodResizeTest, OneUpdateMayRaiseCpusAndLowerMemory) {
  const std::shared_ptr<Pod> pod = Run("mixed");
  const FoundContainer found = Running(pod, ContainerOf(1000, 1024));
  ContainerResources mixed = Quota(4000);
  mixed.memory_limit_bytes = 512 * kMiB;

  ASSERT_TRUE(UpdateContainer(*pod, *found.container, mixed, Soon()).ok());

  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 4);
  EXPECT_EQ(pod->Snapshot().vm.online_memory_bytes, 1024 * kMiB);
  Pass(absl::ZeroDuration());
  EXPECT_EQ(pod->Snapshot().vm.online_memory_bytes, 512 * kMiB);
  EXPECT_LT(Position(Guest(pod), "SetOnlineCpus 4"),
            Position(Guest(pod), "Update "));
  EXPECT_LT(Position(Guest(pod), "Update "),
            Position(Guest(pod), "AwaitMemoryAtMost"));
}

TEST_F(PodResizeTest, UpdatesInOppositeDirectionsAtOnceBothHappen) {
  const std::shared_ptr<Pod> pod = Run("opposite");
  const FoundContainer up = Running(pod, Named("up", 2000, 256));
  const FoundContainer down = Running(pod, Named("down", 4000, 256));

  for (int round = 0; round < 20; ++round) {
    std::thread other([&] {
      EXPECT_TRUE(
          UpdateContainer(*pod, *up.container, Quota(4000), Soon()).ok());
    });
    EXPECT_TRUE(
        UpdateContainer(*pod, *down.container, Quota(1000), Soon()).ok());
    other.join();
    EXPECT_GE(pod->Snapshot().vm.online_vcpus, 5);
    EXPECT_EQ(QuotaInGuest(up), 400'000);
    EXPECT_EQ(QuotaInGuest(down), 100'000);
    Pass(absl::ZeroDuration());
    EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 5);
    ASSERT_TRUE(UpdateContainer(*pod, *up.container, Quota(2000), Soon()).ok());
    ASSERT_TRUE(
        UpdateContainer(*pod, *down.container, Quota(4000), Soon()).ok());
  }
}

TEST_F(PodResizeTest, AStartLooksWhetherTheVmIsStillLargeEnough) {
  const std::shared_ptr<Pod> pod = Run("verify");
  const FoundContainer found = Create(pod, ContainerOf(4000, 1024));
  ASSERT_TRUE(Guest(pod).SetOnlineCpus(1, Soon()).ok());

  ASSERT_TRUE(StartContainer(*pod, *found.container, Soon()).ok());

  EXPECT_EQ(Guest(pod).size().cpus_online, 4);
}

TEST_F(PodResizeTest, AVcpuThatComesOnlineTooLateGoesAgain) {
  const std::shared_ptr<Pod> pod = Run("late");
  // After the grow was given up, and after it was put back.
  Guest(pod).SetFaults({.looks_until_cpus_online = 100});
  EXPECT_FALSE(pods_->CreateContainer(pod, ContainerOf(4000, 0), Soon()).ok());
  Pass(absl::Seconds(5));
  ASSERT_EQ(Guest(pod).size().cpus_online, 1);

  Guest(pod).SetFaults({});
  ASSERT_EQ(Guest(pod).size().cpus_online, 4);
  ASSERT_TRUE(pod->sampler().Sample(Soon()).ok());
  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 4);

  Pass(absl::Seconds(5));
  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 1);
  EXPECT_EQ(Guest(pod).size().cpus_online, 1);
}

TEST_F(PodResizeTest, AVcpuThatOnlyStaysPluggedIsRetried) {
  settings_.limits.vcpu_unplug = VcpuUnplug::kDevice;
  const std::shared_ptr<Pod> pod = Run("plugged");
  const FoundContainer found = Running(pod, ContainerOf(4000, 0));
  Qemu(pod).SetFaults({.guest_ignores_unplug = true});
  End(pod, found);
  Pass(absl::Seconds(5));
  EXPECT_EQ(Qemu(pod).vcpus(), 4);
  EXPECT_EQ(pod->Snapshot().vm.plugged_vcpus, 4);
  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 1);

  Qemu(pod).SetFaults({});
  Pass(absl::Seconds(30));

  EXPECT_EQ(Qemu(pod).vcpus(), 1);
  EXPECT_EQ(pod->Snapshot().vm.plugged_vcpus, 1);
}

TEST_F(PodResizeTest, AfterAFailedGrowTheSizesAreStillTrue) {
  settings_.limits.vcpu_unplug = VcpuUnplug::kDevice;
  const std::shared_ptr<Pod> pod = Run("true");
  Qemu(pod).SetFaults({.guest_ignores_unplug = true});
  Guest(pod).SetFaults({.memory_never_arrives = true});

  EXPECT_FALSE(
      pods_->CreateContainer(pod, ContainerOf(4000, 1024), Soon()).ok());

  EXPECT_EQ(Qemu(pod).vcpus(), 4);
  EXPECT_EQ(pod->Snapshot().vm.plugged_vcpus, 4);
}

TEST_F(PodResizeTest, CallsThatOverlapEndAtTheTarget) {
  const std::shared_ptr<Pod> pod = Run("overlap");
  std::vector<std::thread> clients;
  for (int client = 0; client < 4; ++client) {
    clients.emplace_back([&, client] {
      for (int round = 0; round < 12; ++round) {
        const std::string name =
            "c" + std::to_string(client) + "-" + std::to_string(round);
        const FoundContainer found = Running(pod, Named(name, 1000, 128));
        Pass(absl::Milliseconds(100));
        EXPECT_TRUE(UpdateContainer(*pod, *found.container,
                                    Quota(round % 2 == 0 ? 2000 : 500), Soon())
                        .ok());
        Pass(absl::Milliseconds(100));
        if (round == 11) break;  // this one stays
        if (round % 3 == 0) End(pod, found);
        EXPECT_TRUE(pods_->RemoveContainer(found, Soon()).ok());
      }
    });
  }
  for (std::thread& client : clients) client.join();
  for (int i = 0; i < 3; ++i) Pass(absl::Seconds(31));

  EXPECT_EQ(pod->containers().All().size(), 4u);
  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 2);
  EXPECT_EQ(pod->Snapshot().vm.online_memory_bytes, 512 * kMiB);
  EXPECT_EQ(Guest(pod).size().cpus_online, 2);
}

}  // namespace
}  // namespace podvisor
