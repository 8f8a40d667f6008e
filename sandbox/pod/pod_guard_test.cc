// The accounting guard at work, on fake VMs.

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sandbox/pod/container_lifecycle.h"
#include "sandbox/pod/pod_manager_fixture.h"
#include "sandbox/size/accounting_guard.h"

namespace podvisor {
namespace {

using testing::HasSubstr;

class PodGuardTest : public PodManagerFixture {
 protected:
  void SetUp() override {
    PodManagerFixture::SetUp();
    settings_.vm.accelerator = Accelerator::kKvm;
    settings_.accounting_guard = AccountingGuard::kEnforce;
  }
  static ContainerResources Memory(int64_t bytes) {
    ContainerResources resources;
    resources.memory_limit_bytes = bytes;
    return resources;
  }
  static int64_t Cost(int vcpus, int64_t memory_mib) {
    return VmmCostBytes({vcpus, memory_mib * kMiB}, Accelerator::kKvm);
  }
  static PodSpec SpecOf(const std::string& name, int64_t limit,
                        int64_t overhead) {
    PodSpec spec = Spec(name);
    spec.resources = Memory(limit);
    spec.overhead = Memory(overhead);
    return spec;
  }
  std::shared_ptr<Pod> RunOf(const PodSpec& spec) {
    const absl::StatusOr<PodId> id = pods_->RunPod(spec, Soon());
    EXPECT_TRUE(id.ok()) << id.status();
    return pods_->FindPod(id->value()).value();
  }
  absl::Status TryCreate(const std::shared_ptr<Pod>& pod, int64_t memory_mib) {
    return pods_->CreateContainer(pod, ContainerOf(1000, memory_mib), Soon())
        .status();
  }
  std::optional<int64_t> Metric() {
    return metrics_.Vms().at(0).snapshot.accounting_excess_bytes;
  }
};

TEST_F(PodGuardTest, AVmWithinLimitAndOverheadHasNoExcess) {
  const std::shared_ptr<Pod> pod =
      RunOf(SpecOf("within", 256 * kMiB, Cost(1, 256)));

  const PodAccount account = pod->Snapshot().account;
  EXPECT_EQ(account.guest_bytes, 256 * kMiB);
  EXPECT_EQ(account.vmm_bytes, Cost(1, 256));
  EXPECT_EQ(account.limit_bytes, 256 * kMiB);
  EXPECT_EQ(account.overhead_bytes, Cost(1, 256));
  EXPECT_EQ(Metric(), 0);
  EXPECT_TRUE(TryCreate(pod, 256).ok());
}

TEST_F(PodGuardTest, APodWithoutALimitIsNotGuarded) {
  const std::shared_ptr<Pod> pod = Run("free");

  EXPECT_TRUE(TryCreate(pod, 4096).ok());
  EXPECT_EQ(Metric(), std::nullopt);
}

TEST_F(PodGuardTest, APodThatCouldExceedItsAccountIsRefusedBeforeItsVmStarts) {
  const absl::Status status =
      pods_->RunPod(SpecOf("small", 64 * kMiB, 0), Soon()).status();

  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("overhead.podFixed"));
  EXPECT_TRUE(launcher_.launched().empty());
  EXPECT_TRUE(store_->LoadAll()->pods.empty());
}

TEST_F(PodGuardTest, AGrowBeyondTheAccountIsRefusedUntilTheOverheadIsRaised) {
  // And 3/128 of what is asked for: 128 MiB.
  settings_.sizing.guest_overhead_memory_bytes = 104 * kMiB;
  const std::shared_ptr<Pod> pod =
      RunOf(SpecOf("grow", 1024 * kMiB, 100 * kMiB));

  const absl::Status refused = TryCreate(pod, 1024);
  EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("guest 1152 MiB"));
  EXPECT_EQ(pod->Snapshot().vm.online_memory_bytes, 256 * kMiB);
  EXPECT_EQ(pod->Snapshot().account.guest_bytes, 256 * kMiB);

  ASSERT_TRUE(pod->resizer()
                  .UpdateTotals(std::nullopt,
                                Memory(128 * kMiB + Cost(1, 1152)), Soon())
                  .ok());
  EXPECT_TRUE(TryCreate(pod, 1024).ok());
}

TEST_F(PodGuardTest, AnUpdateThatTakesAwayWhatTheVmCanUseIsRefused) {
  const std::shared_ptr<Pod> pod =
      RunOf(SpecOf("update", 256 * kMiB, Cost(1, 256)));

  for (const auto& [resources, overhead] :
       std::vector<std::pair<std::optional<ContainerResources>,
                             std::optional<ContainerResources>>>{
           {Memory(255 * kMiB), std::nullopt},
           {std::nullopt, Memory(Cost(1, 256) - 1)}}) {
    EXPECT_TRUE(absl::IsResourceExhausted(
        pod->resizer().UpdateTotals(resources, overhead, Soon())));
  }
  EXPECT_EQ(pod->Snapshot().account.limit_bytes, 256 * kMiB);
  EXPECT_EQ(store_->LoadAll()->pods.at(0).updated_overhead, std::nullopt);
}

TEST_F(PodGuardTest, WhatTheVmStillHasCountsWhateverItsContainersWant) {
  for (const MemoryDevice device :
       {MemoryDevice::kPcDimm, MemoryDevice::kVirtioMem}) {
    settings_.limits.memory_device = device;
    settings_.limits.memory_slots = 4;
    const bool dimms = device == MemoryDevice::kPcDimm;
    const std::shared_ptr<Pod> pod = RunOf(
        SpecOf(dimms ? "dimms" : "shortfall", 4096 * kMiB, Cost(1, 4096)));
    const FoundContainer found = Create(pod, ContainerOf(1000, 4096));
    if (!dimms) {
      Guest(pod).SetFaults(
          {.keeps_memory_bytes = Guest(pod).size().memory_total_bytes});
    }
    ASSERT_TRUE(
        StopContainer(*pod, *found.container, absl::ZeroDuration(), Soon())
            .ok());
    Settle();
    ASSERT_EQ(pod->Snapshot().vm.target_memory_bytes, 256 * kMiB);

    // DIMMs stay; and so does what the guest does not give back.
    EXPECT_EQ(pod->Snapshot().account.guest_bytes, 4096 * kMiB);
    EXPECT_TRUE(absl::IsResourceExhausted(pod->resizer().UpdateTotals(
        Memory(1024 * kMiB), std::nullopt, Soon())));
    EXPECT_EQ(pod->Snapshot().account.limit_bytes, 4096 * kMiB);
    if (dimms) continue;
    Guest(pod).SetFaults({});
    for (int i = 0; i < 2; ++i) {
      clock_.Advance(absl::Seconds(30));
      timers_.RunDue();
    }
    EXPECT_EQ(pod->Snapshot().account.guest_bytes, 256 * kMiB);
    EXPECT_TRUE(pod->resizer()
                    .UpdateTotals(Memory(1024 * kMiB), std::nullopt, Soon())
                    .ok());
  }
}

TEST_F(PodGuardTest, ALargerConfigurationIsGuardedAsAnyOtherGrowth) {
  PodId id;
  {
    const std::shared_ptr<Pod> pod =
        RunOf(SpecOf("config", 1024 * kMiB, Cost(1, 1024)));
    id = pod->id();
    Create(pod, ContainerOf(1000, 1024));
  }
  settings_.sizing.guest_overhead_memory_bytes = 128 * kMiB;
  Restart();
  Settle();

  const std::shared_ptr<Pod> pod = pods_->FindPod(id.value()).value();
  EXPECT_EQ(pod->Snapshot().vm.online_memory_bytes, 1024 * kMiB);
  EXPECT_GT(pod->Snapshot().vm.target_memory_bytes, 1024 * kMiB);
  EXPECT_THAT(pod->Snapshot().last_error, HasSubstr("overhead.podFixed"));
  EXPECT_EQ(pod->Snapshot().account.excess_bytes(), 0);

  ASSERT_TRUE(pod->resizer()
                  .UpdateTotals(std::nullopt, Memory(512 * kMiB), Soon())
                  .ok());
  EXPECT_EQ(pod->Snapshot().vm.online_memory_bytes,
            pod->Snapshot().vm.target_memory_bytes);
  timers_.RunDue();
  EXPECT_EQ(pod->Snapshot().last_error, "");
}

TEST_F(PodGuardTest, WhatIsGuardedStillShrinks) {
  PodId id;
  ContainerId ends;
  {
    const std::shared_ptr<Pod> pod =
        RunOf(SpecOf("shrinks", 1024 * kMiB, Cost(4, 1024)));
    id = pod->id();
    Create(pod, ContainerOf(1000, 1024));
    ContainerSpec spec = ContainerOf(3000, 0);
    spec.name = "ends";
    ends = Create(pod, spec).container->id();
  }
  settings_.sizing.guest_overhead_memory_bytes = 512 * kMiB;
  Restart();
  const FoundContainer found = pods_->FindContainer(ends.value()).value();
  ASSERT_EQ(found.pod->Snapshot().vm.online_vcpus, 4);

  ASSERT_TRUE(
      StopContainer(*found.pod, *found.container, absl::ZeroDuration(), Soon())
          .ok());
  Settle();

  EXPECT_EQ(found.pod->Snapshot().vm.online_vcpus, 1);
  EXPECT_EQ(found.pod->Snapshot().vm.online_memory_bytes, 1024 * kMiB);
}

TEST_F(PodGuardTest, AWarningShowsTheExcessAndLetsThePodRun) {
  settings_.accounting_guard = AccountingGuard::kWarn;
  const std::shared_ptr<Pod> pod = RunOf(SpecOf("warn", 64 * kMiB, kMiB));

  EXPECT_EQ(pod->Snapshot().account.excess_bytes(),
            256 * kMiB + Cost(1, 256) - 65 * kMiB);
  EXPECT_EQ(Metric(), pod->Snapshot().account.excess_bytes());
  EXPECT_TRUE(TryCreate(pod, 64).ok());
}

TEST_F(PodGuardTest, APodAboveItsAccountMayShrinkWhenTheGuardIsSwitchedOn) {
  settings_.accounting_guard = AccountingGuard::kWarn;
  PodId id;
  ContainerId container;
  {
    const std::shared_ptr<Pod> pod = RunOf(SpecOf("old", 1024 * kMiB, kMiB));
    id = pod->id();
    container = Create(pod, ContainerOf(1000, 1024)).container->id();
  }
  settings_.accounting_guard = AccountingGuard::kEnforce;
  Restart();
  const FoundContainer found = pods_->FindContainer(container.value()).value();

  EXPECT_TRUE(
      UpdateContainer(*found.pod, *found.container, Memory(512 * kMiB), Soon())
          .ok());
  timers_.RunDue();
  EXPECT_EQ(found.pod->Snapshot().account.guest_bytes, 512 * kMiB);
  // It can shrink, and not come back.
  EXPECT_TRUE(absl::IsResourceExhausted(UpdateContainer(
      *found.pod, *found.container, Memory(1024 * kMiB), Soon())));
}

}  // namespace
}  // namespace podvisor
