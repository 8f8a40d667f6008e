// With presize a pod has what its own resources ask for, on fake VMs.

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sandbox/pod/container_lifecycle.h"
#include "sandbox/pod/pod_manager_fixture.h"

namespace podvisor {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class PodPresizeTest : public PodManagerFixture {
 protected:
  void SetUp() override {
    PodManagerFixture::SetUp();
    settings_.presize = true;
  }
  static PodSpec SpecOf(const std::string& name, int64_t milli_cpu,
                        int64_t memory_mib) {
    PodSpec spec = Spec(name);
    spec.resources = ContainerOf(milli_cpu, memory_mib).resources;
    return spec;
  }
  std::shared_ptr<Pod> RunOf(const std::string& name, int64_t milli_cpu,
                             int64_t memory_mib) {
    const absl::StatusOr<PodId> id =
        pods_->RunPod(SpecOf(name, milli_cpu, memory_mib), Soon());
    EXPECT_TRUE(id.ok()) << id.status();
    return pods_->FindPod(id->value()).value();
  }
  // What QEMU was told that changes a size.
  int Resizes(const std::shared_ptr<Pod>& pod) {
    int count = 0;
    for (const std::string& command :
         launcher_.machine(pod->id())->qemu().commands()) {
      count += absl::StrContains(command, "qom-set") ||
               absl::StrContains(command, "virtio-mem") ||
               absl::StrContains(command, "x86_64-cpu");
    }
    return count;
  }
  void Stop(const std::shared_ptr<Pod>& pod, const FoundContainer& found) {
    ASSERT_TRUE(
        StopContainer(*pod, *found.container, absl::ZeroDuration(), Soon())
            .ok());
  }
  static VmSize Online(const std::shared_ptr<Pod>& pod) {
    const VmSizes sizes = pod->Snapshot().vm;
    return {sizes.online_vcpus, sizes.online_memory_bytes};
  }

  const VmSize base_ = {1, 256 * kMiB};
  const VmSize large_ = {4, 1024 * kMiB};
};

TEST_F(PodPresizeTest, ThePodHasItsSizeBeforeAnyContainer) {
  const std::shared_ptr<Pod> pod = RunOf("sized", 4000, 1024);

  EXPECT_EQ(Online(pod), large_);
  EXPECT_EQ(pod->Snapshot().vm.base_vcpus, 1);
  EXPECT_EQ(pod->Snapshot().vm.base_memory_bytes, 256 * kMiB);
  Settle();
  EXPECT_EQ(Online(pod), large_);
}

TEST_F(PodPresizeTest, WithoutItOrWithoutResourcesThePodIsAtItsBase) {
  EXPECT_EQ(Online(Run("no-resources")), base_);
  settings_.presize = false;
  EXPECT_EQ(Online(RunOf("no-presize", 4000, 1024)), base_);
}

TEST_F(PodPresizeTest, ContainersWithinThePodsSizeNeedNoResize) {
  const std::shared_ptr<Pod> pod = RunOf("within", 4000, 1024);
  const int before = Resizes(pod);
  ASSERT_GT(before, 0);

  Create(pod, ContainerOf(1000, 256));
  ContainerSpec next = ContainerOf(3000, 768);
  next.name = "next";
  Create(pod, next);

  EXPECT_EQ(Resizes(pod), before);
  EXPECT_EQ(Online(pod), large_);
}

TEST_F(PodPresizeTest, WhileOneContainerRunsThePodKeepsItsSize) {
  const std::shared_ptr<Pod> pod = RunOf("half", 4000, 1024);
  const FoundContainer first = Create(pod, ContainerOf(3000, 768));
  ContainerSpec spec = ContainerOf(100, 16);
  spec.name = "sidecar";
  Create(pod, spec);

  Stop(pod, first);
  Settle();

  EXPECT_EQ(Online(pod), large_);
}

TEST_F(PodPresizeTest, WhenAllHaveEndedItIsGivenBackAndStaysSo) {
  PodId id;
  ContainerId container;
  {
    const std::shared_ptr<Pod> pod = RunOf("done", 4000, 1024);
    id = pod->id();
    const FoundContainer found = Create(pod, ContainerOf(4000, 1024));
    container = found.container->id();
    Stop(pod, found);
    EXPECT_EQ(Online(pod), large_);
    Settle();
    EXPECT_EQ(Online(pod), base_);

    ASSERT_TRUE(pods_->RemoveContainer(found, Soon()).ok());
    Settle();
    EXPECT_EQ(Online(pod), base_);
  }

  Restart();

  const std::shared_ptr<Pod> pod = pods_->FindPod(id.value()).value();
  Settle();
  EXPECT_EQ(Online(pod), base_);
  Create(pod, ContainerOf(100, 16));
  EXPECT_EQ(Online(pod), large_);
}

TEST_F(PodPresizeTest, TheNextDaemonKeepsThePodsSize) {
  const PodId id = RunOf("restart", 4000, 1024)->id();

  Restart();
  Settle();

  EXPECT_EQ(Online(pods_->FindPod(id.value()).value()), large_);
}

TEST_F(PodPresizeTest, ACreateThatFailedWasNoContainer) {
  const std::shared_ptr<Pod> pod = RunOf("failed", 4000, 1024);
  Guest(pod).SetFaults({.create_fails = true});

  EXPECT_FALSE(pods_->CreateContainer(pod, ContainerOf(100, 16), Soon()).ok());
  Settle();

  EXPECT_EQ(Online(pod), large_);
}

TEST_F(PodPresizeTest, AnUpdateOfThePodMovesItsSizeBothWaysAtOnce) {
  const std::shared_ptr<Pod> pod = RunOf("update", 4000, 1024);

  ASSERT_TRUE(
      pod->resizer()
          .UpdateTotals(ContainerOf(6000, 2048).resources, std::nullopt, Soon())
          .ok());
  EXPECT_EQ(Online(pod), (VmSize{6, 2048 * kMiB}));

  ASSERT_TRUE(
      pod->resizer()
          .UpdateTotals(ContainerOf(2000, 512).resources, std::nullopt, Soon())
          .ok());
  timers_.RunDue();
  EXPECT_EQ(Online(pod), (VmSize{2, 512 * kMiB}));
}

TEST_F(PodPresizeTest, APodWhoseVmCannotGrowIsRefusedAndGone) {
  LaunchFaults faults;
  faults.guest.faults.cpu_never_onlines = true;
  launcher_.SetFaults(faults);

  const absl::Status status =
      pods_->RunPod(SpecOf("stuck", 4000, 1024), Soon()).status();

  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("guest online"));
  EXPECT_EQ(launcher_.running(), 0);
  EXPECT_TRUE(store_->LoadAll()->pods.empty());
  launcher_.SetFaults(LaunchFaults());
  EXPECT_EQ(Online(RunOf("stuck", 4000, 1024)), large_);
}

TEST_F(PodPresizeTest, AQemuThatDiesWhileItGrowsIsGoneAndNotFull) {
  bool died = true;
  int deaths = 0;
  for (int commands = 0; died; ++commands) {
    LaunchFaults faults;
    faults.qemu.commands_until_death = commands;
    launcher_.SetFaults(faults);

    const absl::StatusOr<PodId> id = pods_->RunPod(
        SpecOf("dies" + std::to_string(commands), 4000, 1024), Soon());

    died = !id.ok();
    deaths += died;
    EXPECT_TRUE(id.ok() || absl::IsUnavailable(id.status())) << id.status();
    ASSERT_LT(commands, 100);
  }
  EXPECT_GT(deaths, 5);
}

TEST_F(PodPresizeTest, WithoutHotplugALargerPodIsRefusedBeforeItsVmStarts) {
  settings_.limits.memory_device = MemoryDevice::kNone;
  settings_.limits.max_vcpus = 1;
  settings_.limits.max_memory_bytes = 256 * kMiB;

  const absl::Status status =
      pods_->RunPod(SpecOf("large", 1000, 512), Soon()).status();

  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("536870912"), HasSubstr("268435456")));
  EXPECT_TRUE(launcher_.launched().empty());
  const std::shared_ptr<Pod> pod = RunOf("fits", 1000, 256);
  EXPECT_EQ(Online(pod), base_);
  EXPECT_TRUE(absl::IsInvalidArgument(pod->resizer().UpdateTotals(
      ContainerOf(2000, 256).resources, std::nullopt, Soon())));
}

}  // namespace
}  // namespace podvisor
