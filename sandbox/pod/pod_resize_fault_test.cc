// What is left of a pod's size when a stage of a resize fails, whichever.

#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sandbox/pod/pod_resize_fixture.h"
#include "sandbox/record/store_faults.h"

namespace podvisor {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

struct StageFault {
  std::string stage;  // as the error names it
  QemuFaults qemu;
  GuestFaults guest;
  int changes_until_store_fails = -1;
};

class PodResizeFaultTest : public PodResizeFixture {
 protected:
  void SetUp() override {
    PodResizeFixture::SetUp();
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
    EXPECT_EQ(pod->containers().All().size(), 0u);
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

      EXPECT_THAT(std::string(updated.message()), HasSubstr(fault.stage));
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
  ASSERT_TRUE(pod->resizer().UpdateTotals(cap, std::nullopt, Soon()).ok());
  Pass(absl::ZeroDuration());
  ASSERT_EQ(pod->Snapshot().vm.online_vcpus, 2);
  // The VM has been larger, so its vCPUs are parked and need no QEMU.
  for (const StageFault& fault : std::vector<StageFault>{
           {"guest online: vCPUs", {}, {.cpu_never_onlines = true}},
           {"guest online: ", {}, {.agent_hangs = true}},
           {"state store: ", {}, {}, 0}}) {
    SCOPED_TRACE(fault.stage);
    Break(pod, fault);

    const absl::Status updated =
        pod->resizer().UpdateTotals(Quota(3000), std::nullopt, Soon());

    EXPECT_FALSE(updated.ok());
    EXPECT_THAT(std::string(updated.message()), HasSubstr(fault.stage));
    Heal(pod);
    Pass(absl::Seconds(30));
    EXPECT_EQ(store_->LoadAll()->pods.at(0).updated_resources, cap);
    EXPECT_EQ(Guest(pod).size().cpus_online, 2);
    EXPECT_EQ(pod->Snapshot().vm.target_vcpus, 2);
  }
}

}  // namespace
}  // namespace podvisor
