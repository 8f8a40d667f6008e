#include "sandbox/parts/stored_pod.h"

#include <memory>
#include <string>

#include "base/file.h"
#include "gtest/gtest.h"
#include "sandbox/record/store_faults.h"

namespace podvisor {
namespace {

class StoredPodTest : public testing::Test {
 protected:
  StoredPodTest() {
    EXPECT_TRUE(MakeDirectories(directory_).ok());
    store_ = StateStore::Open(directory_).value();
    PodRecord record;
    record.id = id_;
    record.spec.metadata = {"web", "uid", "default", 0};
    EXPECT_TRUE(store_->PutPod(record).ok());
    pod_ = std::make_unique<StoredPod>(store_.get(), record);
  }
  ~StoredPodTest() override { EXPECT_TRUE(RemoveTree(directory_).ok()); }

  PodRecord InStore() { return store_->LoadAll()->pods.at(0); }

  const PodId id_{std::string(64, 'a')};
  const std::string directory_ = testing::TempDir() + "/stored_pod";
  std::unique_ptr<StateStore> store_;
  std::unique_ptr<StoredPod> pod_;
};

TEST_F(StoredPodTest, WhatIsSeenIsStored) {
  ASSERT_TRUE(pod_->Transition(SandboxEvent::kAgentReady).ok());
  ASSERT_TRUE(
      pod_->Change([](PodRecord& record) { record.vm_json = "{}"; }).ok());

  EXPECT_TRUE(pod_->CheckReady().ok());
  EXPECT_EQ(pod_->record().vm_json, "{}");
  EXPECT_EQ(InStore(), pod_->record());
}

TEST_F(StoredPodTest, AnIllegalEventNamesTheStateAndChangesNothing) {
  ASSERT_TRUE(pod_->Transition(SandboxEvent::kStopRequested).ok());

  const absl::Status late = pod_->Transition(
      SandboxEvent::kAgentReady, [](PodRecord& record) { record.ips = {"x"}; });

  EXPECT_TRUE(absl::IsFailedPrecondition(late));
  EXPECT_EQ(late.message(), "pod " + id_.value() + " is being stopped");
  EXPECT_EQ(pod_->CheckReady(), late);
  EXPECT_TRUE(pod_->record().ips.empty());
}

TEST_F(StoredPodTest, NoPodIsReadyOrChangesThatCannotBeStored) {
  StoreFaults faults(directory_);
  faults.FailAfter(0);

  EXPECT_FALSE(pod_->Transition(SandboxEvent::kAgentReady).ok());
  EXPECT_FALSE(
      pod_->Change([](PodRecord& record) { record.vm_json = "{}"; }).ok());

  EXPECT_EQ(pod_->state(), SandboxState::kCreating);
  EXPECT_EQ(pod_->record().vm_json, "");
}

TEST_F(StoredPodTest, NothingBringsBackTheRecordOfAPodThatIsForgotten) {
  ASSERT_TRUE(pod_->Forget().ok());

  EXPECT_TRUE(absl::IsFailedPrecondition(
      pod_->Change([](PodRecord& record) { record.vm_json = "{}"; })));
  EXPECT_TRUE(pod_->Transition(SandboxEvent::kStopRequested).ok());

  EXPECT_TRUE(store_->LoadAll()->pods.empty());
}

TEST_F(StoredPodTest, AnEndIsAnEndAlsoWhereItCannotBeStored) {
  ASSERT_TRUE(pod_->Transition(SandboxEvent::kAgentReady).ok());
  StoreFaults faults(directory_);
  faults.FailAfter(0);

  EXPECT_TRUE(pod_->Transition(SandboxEvent::kVmExited).ok());

  EXPECT_EQ(pod_->state(), SandboxState::kStopping);
  faults.Heal();
  EXPECT_EQ(InStore().state, SandboxState::kReady);
}

}  // namespace
}  // namespace podvisor
