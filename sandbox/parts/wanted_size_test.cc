#include "sandbox/parts/wanted_size.h"

#include <memory>
#include <string>

#include "base/file.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

class WantedSizeTest : public testing::Test {
 protected:
  WantedSizeTest() {
    settings_.limits.max_vcpus = 8;
    settings_.limits.boot_memory_bytes = 256 * kMiB;
    settings_.limits.max_memory_bytes = 8192 * kMiB;
    settings_.sizing.base_milli_cpu = 1000;
    settings_.sizing.base_memory_bytes = 256 * kMiB;
    EXPECT_TRUE(MakeDirectories(directory_).ok());
    store_ = StateStore::Open(directory_).value();
    PodRecord record;
    record.id = PodId(std::string(64, 'a'));
    pod_ = std::make_unique<StoredPod>(store_.get(), record);
    wanted_ = std::make_unique<WantedSize>(&settings_, pod_.get(), &containers_,
                                           &clock_);
  }
  ~WantedSizeTest() override { EXPECT_TRUE(RemoveTree(directory_).ok()); }

  std::shared_ptr<Container> Add(const std::string& name, ContainerPhase phase,
                                 int64_t milli_cpu) {
    ContainerRecord record;
    record.id = ContainerId(name);
    record.spec.name = name;
    record.phase = phase;
    record.finished_at = clock_.Now();
    record.resources.cpu_period = 100'000;
    record.resources.cpu_quota = milli_cpu * 100;
    auto container = std::make_shared<Container>(store_.get(), record, "");
    EXPECT_TRUE(containers_.Add(container).ok());
    return container;
  }
  int Vcpus() { return wanted_->Target(settings_.limits)->size.vcpus; }
  int HeldVcpus() { return wanted_->HeldTarget(settings_.limits)->size.vcpus; }

  const std::string directory_ = testing::TempDir() + "/wanted_size";
  FakeClock clock_{absl::FromUnixSeconds(1'700'000'000)};
  PodSettings settings_;
  std::unique_ptr<StateStore> store_;
  std::unique_ptr<StoredPod> pod_;
  PodContainers containers_;
  std::unique_ptr<WantedSize> wanted_;
};

TEST_F(WantedSizeTest, OneThatWaitsForItsRoomIsWantedButNotGranted) {
  Add("runs", ContainerPhase::kRunning, 1000);
  const auto waits = Add("waits", ContainerPhase::kCreating, 3000);

  EXPECT_EQ(wanted_->Sizing(settings_.limits).containers.size(), 2u);
  EXPECT_EQ(wanted_->Granted(settings_.limits, nullptr).containers.size(), 1u);
  EXPECT_EQ(wanted_->Granted(settings_.limits, waits.get()).containers.size(),
            2u);
}

TEST_F(WantedSizeTest, WhatAnEndedContainerHadIsHeldForTheShrinkDelay) {
  const int without = Vcpus();
  const auto ends = Add("ends", ContainerPhase::kRunning, 3000);
  const int with = Vcpus();
  ASSERT_GT(with, without);

  wanted_->Hold(*ends);
  containers_.Drop(ends->id());

  EXPECT_EQ(Vcpus(), without);
  EXPECT_EQ(HeldVcpus(), with);
  EXPECT_EQ(wanted_->NextRelease(), settings_.shrink_delay);
  clock_.Step(absl::Hours(-1));
  clock_.Advance(settings_.shrink_delay);
  EXPECT_EQ(HeldVcpus(), without);
  EXPECT_EQ(wanted_->NextRelease(), absl::InfiniteDuration());
}

TEST_F(WantedSizeTest, ALaterDaemonHoldsWhatEndedNotLongAgo) {
  const int without = Vcpus();
  Add("ended", ContainerPhase::kExited, 3000);
  clock_.Advance(settings_.shrink_delay / 2);

  wanted_->HoldEnded();

  EXPECT_EQ(Vcpus(), without);
  EXPECT_GT(HeldVcpus(), without);
  clock_.Step(absl::Hours(-1));
  clock_.Advance(settings_.shrink_delay / 2);
  EXPECT_EQ(HeldVcpus(), without);
}

TEST_F(WantedSizeTest, WhatAnUpdateGaveReplacesWhatThePodWasMadeWith) {
  ASSERT_TRUE(store_->PutPod(pod_->record()).ok());
  ContainerResources resources;
  resources.cpu_quota = 200'000;
  ASSERT_TRUE(pod_->Change([&](PodRecord& record) {
                    record.updated_resources = resources;
                  })
                  .ok());

  EXPECT_EQ(wanted_->Totals().resources, resources);
  EXPECT_EQ(wanted_->Totals().overhead, std::nullopt);
}

}  // namespace
}  // namespace podvisor
