// Where the vCPUs of a pod run on the host, as its containers come, change and
// go. A fake VM says what was decided; vcpu_affinity_test.cc shows the threads.

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sandbox/pod/container_lifecycle.h"
#include "sandbox/pod/pod_manager_fixture.h"

namespace podvisor {
namespace {

using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

class PodCpusetTest : public PodManagerFixture {
 protected:
  PodCpusetTest() { settings_.host_cpus = {0, 1, 2, 3, 4, 5, 6, 7}; }

  static ContainerSpec ContainerOn(const std::string& name, int64_t milli_cpu,
                                   const std::string& cpus) {
    ContainerSpec spec = ContainerOf(milli_cpu, 0);
    spec.name = name;
    spec.resources.cpuset_cpus = cpus;
    return spec;
  }
  std::vector<CpuList> Affinity(const std::shared_ptr<Pod>& pod) {
    return launcher_.machine(pod->id())->affinity();
  }
  absl::Status TryCreate(const std::shared_ptr<Pod>& pod,
                         const ContainerSpec& spec) {
    return pods_->CreateContainer(pod, spec, Soon()).status();
  }
  static ContainerResources Cpus(const std::string& cpus) {
    ContainerResources update;
    update.cpuset_cpus = cpus;
    return update;
  }
};

TEST_F(PodCpusetTest, AsManyVcpusAsCpusAreKeptOneToOne) {
  const std::shared_ptr<Pod> pod = Run("exclusive");

  const FoundContainer found = Create(pod, ContainerOn("main", 2000, "2,5"));

  EXPECT_THAT(Affinity(pod), ElementsAre(CpuList{2}, CpuList{5}));
  EXPECT_EQ(Guest(pod).spec(found.container->id())->resources().cpuset_cpus(),
            "");
  EXPECT_EQ(found.container->Snapshot().applied.cpuset_cpus, "2,5");
}

TEST_F(PodCpusetTest, VcpusThatAreAddedAreKeptTooAndAllOfThemInTheUnion) {
  const std::shared_ptr<Pod> pod = Run("union");
  Create(pod, ContainerOn("first", 1000, "3"));
  EXPECT_THAT(Affinity(pod), ElementsAre(CpuList{3}));

  Create(pod, ContainerOn("second", 2000, "4"));

  EXPECT_THAT(Affinity(pod),
              ElementsAre(CpuList{3, 4}, CpuList{3, 4}, CpuList{3, 4}));
}

TEST_F(PodCpusetTest, WhenTheLastOneThatAskedHasGoneTheVcpusAreFree) {
  const std::shared_ptr<Pod> pod = Run("free");
  const FoundContainer found = Create(pod, ContainerOn("main", 2000, "6-7"));
  ASSERT_THAT(Affinity(pod), ElementsAre(CpuList{6}, CpuList{7}));

  ASSERT_TRUE(
      StopContainer(*pod, *found.container, absl::ZeroDuration(), Soon()).ok());
  Settle();

  EXPECT_THAT(Affinity(pod), Not(IsEmpty()));
  EXPECT_THAT(Affinity(pod), Each(CpuList()));
}

TEST_F(PodCpusetTest, WhatShrinksIsPinnedAnew) {
  const std::shared_ptr<Pod> pod = Run("shrinks");
  const FoundContainer found = Create(pod, ContainerOn("main", 4000, "0-1"));
  ASSERT_THAT(Affinity(pod), Each(CpuList({0, 1})));
  ContainerResources less;
  less.cpu_quota = 200'000;

  ASSERT_TRUE(UpdateContainer(*pod, *found.container, less, Soon()).ok());
  Settle();

  ASSERT_GE(Affinity(pod).size(), 2u);
  EXPECT_EQ(Affinity(pod)[0], CpuList{0});
  EXPECT_EQ(Affinity(pod)[1], CpuList{1});
}

TEST_F(PodCpusetTest, AnUpdateMovesTheVcpusAndOneThatFailsMovesThemBack) {
  const std::shared_ptr<Pod> pod = Run("moves");
  const FoundContainer found = Create(pod, ContainerOn("main", 1000, "1"));

  ASSERT_TRUE(UpdateContainer(*pod, *found.container, Cpus("5"), Soon()).ok());
  EXPECT_THAT(Affinity(pod), ElementsAre(CpuList{5}));
  EXPECT_EQ(found.container->Snapshot().applied.cpuset_cpus, "5");

  Guest(pod).SetFaults({.update_fails = true});
  EXPECT_FALSE(UpdateContainer(*pod, *found.container, Cpus("6"), Soon()).ok());
  Guest(pod).SetFaults({});
  Settle();
  EXPECT_THAT(Affinity(pod), ElementsAre(CpuList{5}));
  EXPECT_EQ(found.container->Snapshot().applied.cpuset_cpus, "5");
}

TEST_F(PodCpusetTest, ADaemonThatTakesOverPinsAnew) {
  std::shared_ptr<Pod> pod = Run("adopted");
  Create(pod, ContainerOn("main", 1000, "4"));
  const PodId id = pod->id();
  // It was being changed when the daemon was killed.
  launcher_.machine(id)->SetAffinity({{0, 1}});

  pod.reset();
  Restart();
  timers_.RunDue();

  EXPECT_THAT(launcher_.machine(id)->affinity(), ElementsAre(CpuList{4}));
}

TEST_F(PodCpusetTest, QemuIsNotAskedForThreadsThatNobodyPins) {
  const std::shared_ptr<Pod> pod = Run("plain");

  Create(pod, ContainerOf(2000, 512));
  Settle();

  EXPECT_THAT(launcher_.machine(pod->id())->qemu().commands(),
              Not(Contains(StartsWith("query-cpus-fast"))));
}

TEST_F(PodCpusetTest, CpusThatTheHostHasNotAreRefusedAndNothingIsLeft) {
  const std::shared_ptr<Pod> pod = Run("beyond");
  const FoundContainer found = Create(pod, ContainerOn("main", 1000, "1"));

  const absl::Status status = TryCreate(pod, ContainerOn("more", 2000, "8"));

  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("0-7"));
  EXPECT_TRUE(absl::IsInvalidArgument(
      UpdateContainer(*pod, *found.container, Cpus("0-9"), Soon())));
  Settle();
  EXPECT_EQ(store_->LoadAll()->containers.size(), 1u);
  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 1);
  EXPECT_THAT(Affinity(pod), ElementsAre(CpuList{1}));
}

TEST_F(PodCpusetTest, VcpusRunOnNoCpuThatAnUpdateOnlyWants) {
  const std::shared_ptr<Pod> pod = Run("wants");
  const FoundContainer waits = Create(pod, ContainerOn("waits", 1000, "1"));
  waits.container->SetUpdate(Cpus("7"));

  Create(pod, ContainerOn("comes", 1000, "2"));

  EXPECT_THAT(Affinity(pod), ElementsAre(CpuList{1}, CpuList{2}));
  waits.container->SetUpdate(std::nullopt);
}

TEST_F(PodCpusetTest, NobodyIsRefusedForTheCpusOfOneThatWaitsForItsTurn) {
  const std::shared_ptr<Pod> pod = Run("fair");
  launcher_.machine(pod->id())->SetHostCpus(settings_.host_cpus);
  ContainerRecord record;
  record.id = ContainerId(RandomHexId());
  record.pod_id = pod->id();
  record.spec.name = "waits";
  record.resources = Cpus("999");
  ASSERT_TRUE(pod->containers()
                  .Add(std::make_shared<Container>(store_.get(), record, ""))
                  .ok());

  EXPECT_TRUE(TryCreate(pod, ContainerOn("main", 1000, "")).ok());

  EXPECT_THAT(Affinity(pod), Each(CpuList()));
  pod->containers().Drop(record.id);
}

TEST_F(PodCpusetTest, WhereTheVcpusMayNotRunTheVmIsPutBackAtOnce) {
  const std::shared_ptr<Pod> pod = Run("offline");
  Create(pod, ContainerOn("first", 1000, ""));
  // Some have gone offline since the daemon looked.
  launcher_.machine(pod->id())->SetHostCpus({0, 1, 2, 3});

  const absl::Status status = TryCreate(pod, ContainerOn("main", 3000, "6-7"));
  timers_.RunDue();

  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 1);
  EXPECT_THAT(Affinity(pod), Each(CpuList()));
  EXPECT_EQ(pod->Snapshot().last_error, "");
}

TEST_F(PodCpusetTest, InGuestModeTheContainerHasTheCpusetAndTheHostHasNone) {
  settings_.cpuset = CpusetMode::kGuest;
  const std::shared_ptr<Pod> pod = Run("guest");

  const FoundContainer found = Create(pod, ContainerOn("main", 4000, "1-3"));
  EXPECT_EQ(Guest(pod).spec(found.container->id())->resources().cpuset_cpus(),
            "1-3");
  EXPECT_THAT(Affinity(pod), IsEmpty());

  ASSERT_TRUE(UpdateContainer(*pod, *found.container, Cpus("0"), Soon()).ok());
  EXPECT_EQ(Guest(pod).spec(found.container->id())->resources().cpuset_cpus(),
            "0");
}

TEST_F(PodCpusetTest, InGuestModeTheHighestCpuFollowsTheSizeOfTheVm) {
  settings_.cpuset = CpusetMode::kGuest;
  const std::shared_ptr<Pod> pod = Run("highest");

  const absl::Status status = TryCreate(pod, ContainerOn("main", 2000, "2"));

  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("the highest is 1"));
  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 1);
  const FoundContainer found = Create(pod, ContainerOn("main", 2000, "1"));
  // More of it comes with more CPUs, in one and the same update.
  ContainerResources more = Cpus("2");
  EXPECT_TRUE(absl::IsInvalidArgument(
      UpdateContainer(*pod, *found.container, more, Soon())));
  more.cpu_quota = 300'000;
  EXPECT_TRUE(UpdateContainer(*pod, *found.container, more, Soon()).ok());
}

TEST_F(PodCpusetTest, InGuestModeAnUpdateIsCheckedAgainstWhatItLeaves) {
  settings_.cpuset = CpusetMode::kGuest;
  const std::shared_ptr<Pod> pod = Run("leaves");
  const FoundContainer found = Create(pod, ContainerOn("main", 4000, ""));
  ContainerResources less = Cpus("2-3");
  less.cpu_quota = 100'000;

  const absl::Status status =
      UpdateContainer(*pod, *found.container, less, Soon());

  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("the highest is 0"));
}

TEST_F(PodCpusetTest, InGuestModeTheCpusThatAContainerNamesStay) {
  settings_.cpuset = CpusetMode::kGuest;
  const std::shared_ptr<Pod> pod = Run("stay");
  const FoundContainer ends = Create(pod, ContainerOn("ends", 3000, ""));
  const FoundContainer named = Create(pod, ContainerOn("named", 1000, "3"));

  ASSERT_TRUE(RemoveContainer(*pod, *ends.container, Soon()).ok());
  Settle();
  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 4);
  EXPECT_EQ(pod->Snapshot().vm.target_vcpus, 4);
  ContainerResources less;
  less.cpu_quota = 50'000;
  ASSERT_TRUE(UpdateContainer(*pod, *named.container, less, Soon()).ok());
  Settle();
  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 4);

  ASSERT_TRUE(UpdateContainer(*pod, *named.container, Cpus("0"), Soon()).ok());
  Settle();
  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 1);
}

}  // namespace
}  // namespace podvisor
