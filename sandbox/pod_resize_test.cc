// How a pod's VM follows its containers: who waits for whom, what is given back
// when, and what is left when something fails in the middle.

#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sandbox/container_lifecycle.h"
#include "sandbox/pod_manager_fixture.h"
#include "sandbox/store_faults.h"

namespace podvisor {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

class PodResizeTest : public PodManagerFixture {
 protected:
  FakeQemu& Qemu(const std::shared_ptr<Pod>& pod) {
    return launcher_.machine(pod->id())->qemu();
  }
  static ContainerSpec Named(const std::string& name, int64_t milli_cpu,
                             int64_t memory_mib) {
    ContainerSpec spec = ContainerOf(milli_cpu, memory_mib);
    spec.name = name;
    return spec;
  }
  FoundContainer Running(const std::shared_ptr<Pod>& pod,
                         const ContainerSpec& spec) {
    const FoundContainer found = Create(pod, spec);
    EXPECT_TRUE(StartContainer(*pod, *found.container, Soon()).ok());
    return found;
  }
  void End(const std::shared_ptr<Pod>& pod, const FoundContainer& found) {
    Guest(pod).Exit(found.container->id(), 0);
    EXPECT_TRUE(found.container->AwaitExit(Soon()));
  }
  void Pass(absl::Duration time) {
    clock_.Advance(time);
    timers_.RunDue();
  }
  // Commands that change the VM's size.
  std::vector<std::string> Resizes(const std::shared_ptr<Pod>& pod) {
    std::vector<std::string> found;
    for (const std::string& command : Qemu(pod).commands()) {
      const bool device = absl::StrContains(command, "-cpu") ||
                          absl::StrContains(command, "virtio-mem") ||
                          absl::StrContains(command, "dimm");
      if (absl::StartsWith(command, "object-") ||
          absl::StartsWith(command, "qom-set") ||
          (absl::StartsWith(command, "device_") && device)) {
        found.push_back(command);
      }
    }
    return found;
  }
  static int CountCalls(FakeGuestAgent& guest, const std::string& what) {
    int count = 0;
    for (const std::string& call : guest.calls()) {
      count += absl::StartsWith(call, what);
    }
    return count;
  }
  // Creates all of them at once: each waits for the same lock.
  std::vector<absl::Status> CreateTogether(
      const std::shared_ptr<Pod>& pod,
      const std::vector<ContainerSpec>& specs) {
    std::vector<absl::Status> results(specs.size());
    std::vector<std::thread> threads;
    {
      EXPECT_TRUE(pod->operation_lock().LockUntil(absl::InfiniteFuture()));
      const OperationHolder others(&pod->operation_lock());
      for (size_t i = 0; i < specs.size(); ++i) {
        threads.emplace_back([&, i] {
          results[i] = pods_->CreateContainer(pod, specs[i], Soon()).status();
        });
      }
      while (pod->containers().size() < specs.size()) std::this_thread::yield();
    }
    for (std::thread& thread : threads) thread.join();
    return results;
  }
  static ContainerResources Quota(int64_t milli_cpu) {
    ContainerResources resources;
    resources.cpu_quota = milli_cpu * 100;
    return resources;
  }
  int64_t QuotaInGuest(const FoundContainer& found) {
    return Guest(found.pod)
        .spec(found.container->id())
        ->resources()
        .cpu_quota_micros();
  }
};

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
    ASSERT_TRUE(pod->Grow(grows.container.get(), Soon()).ok());
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
  pod->SettleAfter(absl::ZeroDuration());
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
  ASSERT_TRUE(pod->Sample(Soon()).ok());
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

  EXPECT_EQ(pod->containers().size(), 4u);
  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 2);
  EXPECT_EQ(pod->Snapshot().vm.online_memory_bytes, 512 * kMiB);
  EXPECT_EQ(Guest(pod).size().cpus_online, 2);
}

// --- What is left when a stage fails.

struct StageFault {
  std::string stage;  // as the error names it
  QemuFaults qemu;
  GuestFaults guest;
  int changes_until_store_fails = -1;
};

class PodResizeFaultTest : public PodResizeTest {
 protected:
  void SetUp() override {
    PodResizeTest::SetUp();
    if (IsSkipped()) return;
    store_faults_ = std::make_unique<StoreFaults>(settings_.root_dir);
  }
  void Break(const std::shared_ptr<Pod>& pod, const StageFault& fault) {
    Qemu(pod).SetFaults(fault.qemu);
    Guest(pod).SetFaults(fault.guest);
    if (fault.changes_until_store_fails >= 0) {
      store_faults_->FailAfter(fault.changes_until_store_fails);
    }
  }
  void Heal(const std::shared_ptr<Pod>& pod) {
    Qemu(pod).SetFaults({});
    Guest(pod).SetFaults({});
    store_faults_->Heal();
  }
  void ExpectAtBase(const std::shared_ptr<Pod>& pod) {
    Pass(absl::Seconds(30));
    EXPECT_EQ(Guest(pod).size().cpus_online, 1);
    EXPECT_EQ(Guest(pod).size().memory_total_bytes,
              Guest(pod).size().memory_total_at_boot_bytes);
    EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 1);
    EXPECT_EQ(pod->Snapshot().vm.online_memory_bytes, 256 * kMiB);
  }

  std::unique_ptr<StoreFaults> store_faults_;
};

TEST_F(PodResizeFaultTest, AFailedCreateLeavesNothingWhateverFailed) {
  const std::shared_ptr<Pod> pod = Run("create");
  for (const StageFault& fault : std::vector<StageFault>{
           {"VM: memory", {.device_add_refused = true}, {}},
           {"guest online: vCPUs", {}, {.cpu_never_onlines = true}},
           {"guest online: memory", {}, {.memory_never_arrives = true}},
           {"mount the image", {}, {.mount_fails = true}},
           {"unknown user", {}, {.create_fails = true}},
           {"cannot be written", {}, {}, 0},
           {"cannot be written", {}, {}, 1}}) {
    SCOPED_TRACE(fault.stage);
    Break(pod, fault);

    const absl::Status created =
        pods_->CreateContainer(pod, ContainerOf(4000, 1024), Soon()).status();

    EXPECT_THAT(std::string(created.message()), HasSubstr(fault.stage));
    EXPECT_TRUE(pods_->ListContainers().empty());
    Heal(pod);
    ExpectAtBase(pod);
    EXPECT_TRUE(Guest(pod).List(Soon())->empty());
    EXPECT_TRUE(Guest(pod).mounted_images().empty());
    EXPECT_EQ(pod->containers().size(), 0u);
  }
  // Where not even the undoing could be stored, the next daemon does it.
  Restart();
  EXPECT_TRUE(store_->LoadAll()->containers.empty());
}

TEST_F(PodResizeFaultTest, AFailedUpdateRestoresAllThreeWhateverFailed) {
  const std::shared_ptr<Pod> pod = Run("update");
  const FoundContainer found = Running(pod, ContainerOf(2000, 512));
  for (const int64_t milli_cpu : {4000, 1000}) {
    for (const StageFault& fault : std::vector<StageFault>{
             {"VM: vCPUs", {.device_add_refused = true}, {}},
             {"guest online: vCPUs", {}, {.cpu_never_onlines = true}},
             {"container cgroup", {}, {.update_fails = true}},
             {"container cgroup", {}, {.updates_half_done = 1}},
             {"state store", {}, {}, 0},
             {"state store", {}, {}, 1}}) {
      const bool grows = milli_cpu > 2000;
      if (!grows && fault.stage != "container cgroup" &&
          fault.stage != "state store") {
        continue;  // nothing of the VM is touched
      }
      SCOPED_TRACE(testing::Message() << fault.stage << " " << milli_cpu);
      Break(pod, fault);

      const absl::Status updated =
          UpdateContainer(*pod, *found.container, Quota(milli_cpu), Soon());

      EXPECT_THAT(std::string(updated.message()), StartsWith(fault.stage));
      Heal(pod);
      Pass(absl::Seconds(30));
      EXPECT_EQ(found.container->Snapshot().applied.cpu_quota, 200'000);
      EXPECT_EQ(QuotaInGuest(found), 200'000);
      EXPECT_EQ(Guest(pod).size().cpus_online, 2);
      EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 2);
    }
  }
}

TEST_F(PodResizeFaultTest, WhatCannotBeTakenBackKeepsItsRoomUntilItIs) {
  const std::shared_ptr<Pod> pod = Run("again");
  const FoundContainer found = Running(pod, ContainerOf(1000, 256));
  Guest(pod).SetFaults({.update_fails = true, .updates_half_done = 1});

  const absl::Status updated =
      UpdateContainer(*pod, *found.container, Quota(4000), Soon());

  EXPECT_THAT(std::string(updated.message()),
              HasSubstr("could not be restored yet"));
  Pass(absl::ZeroDuration());
  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 4);
  EXPECT_EQ(QuotaInGuest(found), 400'000);
  Guest(pod).SetFaults({});
  Pass(absl::Seconds(1));
  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 1);
  EXPECT_EQ(QuotaInGuest(found), 100'000);
  EXPECT_FALSE(found.container->tried().has_value());
}

TEST_F(PodResizeFaultTest, WhatCannotBeTakenBackKeepsNobodyElsesRoom) {
  const std::shared_ptr<Pod> pod = Run("rest");
  const FoundContainer stuck = Running(pod, Named("stuck", 1000, 256));
  const FoundContainer ends = Running(pod, Named("ends", 3000, 512));
  Guest(pod).SetFaults({.update_fails = true, .updates_half_done = 1});
  EXPECT_FALSE(
      UpdateContainer(*pod, *stuck.container, Quota(2000), Soon()).ok());
  ASSERT_EQ(pod->Snapshot().vm.online_vcpus, 5);

  End(pod, ends);
  for (int i = 0; i < 60; ++i) Pass(absl::Seconds(1));

  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 2) << "it may have two";
  EXPECT_EQ(pod->Snapshot().vm.online_memory_bytes, 256 * kMiB);
  EXPECT_THAT(pod->Snapshot().last_error,
              StartsWith("container cgroup: cgroup refused"));
  const int tries = CountCalls(Guest(pod), "Update");
  EXPECT_LT(tries, 16) << "with back-off";
  Guest(pod).SetFaults({});
  Pass(absl::Seconds(30));
  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 1);
  EXPECT_EQ(pod->Snapshot().last_error, "");
}

TEST_F(PodResizeFaultTest, AKillInTheMiddleOfAnUpdateKeepsNobodyElsesRoom) {
  ContainerId stuck;
  ContainerId ends;
  PodId id;
  {
    const std::shared_ptr<Pod> pod = Run("killed");
    id = pod->id();
    const FoundContainer found = Running(pod, Named("stuck", 1000, 256));
    stuck = found.container->id();
    ends = Running(pod, Named("ends", 1000, 1024)).container->id();
    // The daemon dies between the guest's answer and its own record.
    ContainerResources after = found.container->resources();
    after.memory_limit_bytes = 512 * kMiB;
    ASSERT_TRUE(found.container->SetTried(after).ok());
    agent::v1::LinuxResources update;
    update.set_memory_limit_bytes(512 * kMiB);
    ASSERT_TRUE(Guest(pod).Update(stuck, update, Soon()).ok());
    // It uses more than its record says by now.
    Guest(pod).SetFaults({.update_fails = true});
  }

  Restart();
  const std::shared_ptr<Pod> pod = pods_->FindPod(id.value()).value();
  End(pod, pods_->FindContainer(ends.value()).value());
  Pass(absl::Seconds(5));

  EXPECT_EQ(pod->Snapshot().vm.online_memory_bytes, 512 * kMiB);
  EXPECT_THAT(pod->Snapshot().last_error, StartsWith("container cgroup"));
  Guest(pod).SetFaults({});
  Pass(absl::Seconds(30));
  EXPECT_EQ(pod->Snapshot().vm.online_memory_bytes, 256 * kMiB);
  EXPECT_EQ(Guest(pod).spec(stuck)->resources().memory_limit_bytes(),
            256 * kMiB);
}

TEST_F(PodResizeFaultTest, AFailedUpdateOfThePodChangesNothingWhateverFailed) {
  const std::shared_ptr<Pod> pod = Run("pod");
  Create(pod, ContainerOf(4000, 1024));
  const ContainerResources cap = Quota(2000);
  ASSERT_TRUE(pod->UpdateResources(cap, std::nullopt, Soon()).ok());
  Pass(absl::ZeroDuration());
  ASSERT_EQ(pod->Snapshot().vm.online_vcpus, 2);
  // The VM has been larger, so its vCPUs are parked and need no QEMU.
  for (const StageFault& fault : std::vector<StageFault>{
           {"guest online: vCPUs", {}, {.cpu_never_onlines = true}},
           {"guest online: ", {}, {.agent_hangs = true}},
           {"", {}, {}, 0}}) {
    SCOPED_TRACE(fault.stage);
    Break(pod, fault);

    const absl::Status updated =
        pod->UpdateResources(Quota(3000), std::nullopt, Soon());

    EXPECT_FALSE(updated.ok());
    EXPECT_THAT(std::string(updated.message()), StartsWith(fault.stage));
    Heal(pod);
    Pass(absl::Seconds(30));
    EXPECT_EQ(store_->LoadAll()->pods.at(0).updated_resources, cap);
    EXPECT_EQ(Guest(pod).size().cpus_online, 2);
    EXPECT_EQ(pod->Snapshot().vm.target_vcpus, 2);
  }
}

}  // namespace
}  // namespace podvisor
