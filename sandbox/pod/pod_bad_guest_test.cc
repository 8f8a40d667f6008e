// Guests and QEMUs that do not follow while a pod is resized: what the caller
// is told, what the figures say, and that the pod goes on or ends whole.

#include <atomic>
#include <limits>
#include <thread>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sandbox/pod/container_lifecycle.h"
#include "sandbox/pod/pod_manager_fixture.h"

namespace podvisor {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

class PodBadGuestTest : public PodManagerFixture {
 protected:
  absl::Status TryCreate(const std::shared_ptr<Pod>& pod,
                         const ContainerSpec& spec) {
    return pods_->CreateContainer(pod, spec, Soon()).status();
  }
  FakeQemu& Qemu(const std::shared_ptr<Pod>& pod) {
    return launcher_.machine(pod->id())->qemu();
  }
  // Until nothing is tried any more, for as long as the longest back-off.
  void SettleForLong() {
    for (int i = 0; i < 60; ++i) {
      clock_.Advance(absl::Seconds(1));
      timers_.RunDue();
    }
  }
  void ExpectAtBase(const std::shared_ptr<Pod>& pod) {
    const VmSizes sizes = pod->Snapshot().vm;
    EXPECT_EQ(sizes.target_vcpus, 1);
    EXPECT_EQ(sizes.online_vcpus, 1);
    EXPECT_EQ(sizes.target_memory_bytes, 256 * kMiB);
    EXPECT_EQ(sizes.online_memory_bytes, 256 * kMiB);
    EXPECT_EQ(sizes.shortfall_bytes, 0);
  }
};

TEST_F(PodBadGuestTest, MemoryThatNeverArrivesIsGivenBackAndNamed) {
  const std::shared_ptr<Pod> pod = Run("stuck");
  Guest(pod).SetFaults({.memory_never_arrives = true});

  const absl::Status status = TryCreate(pod, ContainerOf(2000, 2048));

  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("guest online: memory"), HasSubstr("put back")));
  EXPECT_TRUE(store_->LoadAll()->containers.empty());
  SettleForLong();
  ExpectAtBase(pod);
  EXPECT_EQ(Qemu(pod).memory_requested_bytes(), 0);
  Guest(pod).SetFaults({});
  Create(pod, ContainerOf(2000, 2048));
  EXPECT_EQ(pod->Snapshot().vm.online_memory_bytes, 2048 * kMiB);
}

TEST_F(PodBadGuestTest, AnUpdateThatTheGuestDoesNotFollowLeavesTheContainer) {
  const std::shared_ptr<Pod> pod = Run("update");
  const FoundContainer found = Create(pod, ContainerOf(1000, 64));
  Guest(pod).SetFaults({.cpu_never_onlines = true});
  ContainerResources more;
  more.cpu_quota = 400'000;

  const absl::Status status =
      UpdateContainer(*pod, *found.container, more, Soon());

  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("guest online"));
  EXPECT_EQ(found.container->Snapshot().applied.cpu_quota, 100'000);
  EXPECT_EQ(Position(Guest(pod), "Update "), -1);
  SettleForLong();
  ExpectAtBase(pod);
}

TEST_F(PodBadGuestTest, AGrowThatFailsIsOneErrorWhicheverCallItWasFor) {
  const std::shared_ptr<Pod> pod = Run("same");
  const ContainerResources cap = ContainerOf(2000, 0).resources;
  ASSERT_TRUE(pod->resizer().UpdateTotals(cap, std::nullopt, Soon()).ok());
  const FoundContainer found = Create(pod, ContainerOf(4000, 64));
  ASSERT_TRUE(Guest(pod).SetOnlineCpus(1, Soon()).ok());
  Guest(pod).SetFaults({.cpu_never_onlines = true});
  ContainerSpec other = ContainerOf(1000, 64);
  other.name = "other";
  const ContainerResources more = ContainerOf(5000, 64).resources;

  for (const absl::Status& status :
       {TryCreate(pod, other),
        UpdateContainer(*pod, *found.container, more, Soon()),
        StartContainer(*pod, *found.container, Soon()),
        pod->resizer().UpdateTotals(more, std::nullopt, Soon())}) {
    EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
    EXPECT_THAT(std::string(status.message()),
                StartsWith("the VM cannot grow: guest online: vCPUs"));
  }
}

TEST_F(PodBadGuestTest, ARefusedUnplugIsAShortfallAndIsTriedUntilItWorks) {
  const std::shared_ptr<Pod> pod = Run("clings");
  const FoundContainer found = Create(pod, ContainerOf(4000, 1024));
  Guest(pod).SetFaults(
      {.cpu_never_offlines = true,
       .keeps_memory_bytes = std::numeric_limits<int64_t>::max()});

  EXPECT_TRUE(
      StopContainer(*pod, *found.container, absl::ZeroDuration(), Soon()).ok());
  EXPECT_TRUE(RemoveContainer(*pod, *found.container, Soon()).ok());
  SettleForLong();

  const VmSizes sizes = pod->Snapshot().vm;
  EXPECT_EQ(sizes.target_vcpus, 1);
  EXPECT_EQ(sizes.online_vcpus, 4);
  EXPECT_EQ(sizes.target_memory_bytes, 256 * kMiB);
  EXPECT_EQ(sizes.online_memory_bytes, 1024 * kMiB);
  EXPECT_EQ(sizes.shortfall_bytes, 768 * kMiB);
  EXPECT_EQ(pod->state(), SandboxState::kReady);
  // What it keeps serves the next container, and goes when it lets go.
  Create(pod, ContainerOf(4000, 1024));
  Guest(pod).SetFaults({});
  for (const auto& container : pod->containers().All()) {
    ASSERT_TRUE(RemoveContainer(*pod, *container, Soon()).ok());
  }
  SettleForLong();
  ExpectAtBase(pod);
}

TEST_F(PodBadGuestTest, APodThatHangsInItsGuestDelaysNoOtherPod) {
  const std::shared_ptr<Pod> hangs = Run("hangs");
  const std::shared_ptr<Pod> grows = Run("grows");
  Guest(hangs).SetFaults({.create_hangs = true});
  std::atomic<bool> answered = false;
  std::thread caller([&] {
    EXPECT_FALSE(TryCreate(hangs, ContainerOf(2000, 512)).ok());
    answered = true;
  });
  while (Position(Guest(hangs), "Create ") < 0) std::this_thread::yield();

  // It grows and shrinks, on the timers that both have, and is read.
  const FoundContainer found = Create(grows, ContainerOf(4000, 1024));
  EXPECT_EQ(grows->Snapshot().vm.online_vcpus, 4);
  ASSERT_TRUE(RemoveContainer(*grows, *found.container, Soon()).ok());
  SettleForLong();

  ExpectAtBase(grows);
  EXPECT_EQ(pods_->ListPods().size(), 2u);
  EXPECT_EQ(hangs->Snapshot().vm.online_vcpus, 2);
  EXPECT_FALSE(answered) << "it was over before";
  Guest(hangs).Disconnect();
  caller.join();
}

TEST_F(PodBadGuestTest, AnAgentThatIsGoneForAWhileLosesNothing) {
  const std::shared_ptr<Pod> pod = Run("silent");
  const FoundContainer found = Create(pod, ContainerOf(2000, 512));
  const VmSizes before = pod->Snapshot().vm;
  Guest(pod).SetFaults({.agent_hangs = true});
  ContainerSpec more = ContainerOf(2000, 512);
  more.name = "more";

  EXPECT_FALSE(TryCreate(pod, more).ok());
  SettleForLong();

  // What was last seen; nothing newer is known.
  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, before.online_vcpus);
  EXPECT_EQ(pod->Snapshot().vm.online_memory_bytes, before.online_memory_bytes);
  EXPECT_NE(pod->Snapshot().last_error, "");
  Guest(pod).SetFaults({});
  Create(pod, more);
  SettleForLong();
  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 4);
  SettleForLong();
  EXPECT_EQ(pod->Snapshot().last_error, "");
}

TEST_F(PodBadGuestTest, AtWhicheverCommandQemuDiesInAGrowThePodEndsWhole) {
  bool survived = false;
  int commands = 0;
  for (; !survived && commands < 40; ++commands) {
    SCOPED_TRACE(commands);
    const std::shared_ptr<Pod> pod = Run(absl::StrCat("dies", commands));
    const FoundContainer first = Create(pod, ContainerOf(1000, 64));
    ASSERT_TRUE(StartContainer(*pod, *first.container, Soon()).ok());
    Qemu(pod).SetFaults({.commands_until_death = commands});
    ContainerSpec more = ContainerOf(2000, 1024);
    more.name = "more";

    survived = TryCreate(pod, more).ok();
    if (survived) break;
    launcher_.machine(pod->id())->Die("QEMU was killed by signal 11");
    timers_.RunDue();

    EXPECT_EQ(pod->state(), SandboxState::kStopped);
    EXPECT_EQ(first.container->Snapshot().exit_code, 137);
    ASSERT_EQ(store_->LoadAll()->containers.size(), 1u);
    ASSERT_TRUE(pods_->RemovePod(pod, Soon()).ok());
  }
  EXPECT_TRUE(survived);
  EXPECT_GT(commands, 5);
}

TEST_F(PodBadGuestTest, AQemuThatDiesInAShrinkEndsItsPod) {
  for (int commands = 0; commands < 8; ++commands) {
    SCOPED_TRACE(commands);
    const std::shared_ptr<Pod> pod = Run(absl::StrCat("shrinks", commands));
    const FoundContainer found = Create(pod, ContainerOf(4000, 1024));
    Qemu(pod).SetFaults({.commands_until_death = commands});
    // The container does not hear of it: its own end needs no QEMU.
    (void)StopContainer(*pod, *found.container, absl::ZeroDuration(), Soon());

    Settle();
    launcher_.machine(pod->id())->Die("QEMU was killed by signal 11");
    timers_.RunDue();

    EXPECT_EQ(pod->state(), SandboxState::kStopped);
    EXPECT_TRUE(pods_->RemovePod(pod, Soon()).ok());
  }
}

TEST_F(PodBadGuestTest, SumsThatNoFigureCanHoldAreRefused) {
  const std::shared_ptr<Pod> pod = Run("sums");
  ContainerSpec huge = ContainerOf(1000, 0);
  huge.resources.memory_limit_bytes = int64_t{1} << 62;
  const FoundContainer found = Create(pod, huge);
  EXPECT_TRUE(pod->Snapshot().vm.memory_clamped);
  huge.name = "more";

  const absl::Status created = TryCreate(pod, huge);

  EXPECT_TRUE(absl::IsInvalidArgument(created)) << created;
  EXPECT_EQ(store_->LoadAll()->containers.size(), 1u);
  ContainerResources pages;
  pages.hugepage_limits = {{"2MB", std::numeric_limits<int64_t>::max()}};
  EXPECT_TRUE(absl::IsInvalidArgument(
      UpdateContainer(*pod, *found.container, pages, Soon())));
  EXPECT_TRUE(found.container->Snapshot().applied.hugepage_limits.empty());
}

}  // namespace
}  // namespace podvisor
