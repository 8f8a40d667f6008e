#include "sandbox/parts/pod_event.h"

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

const absl::Time kNow = absl::FromUnixSeconds(1'000'000);

PodSnapshot PodIn(SandboxState state) {
  PodSnapshot pod;
  pod.id = PodId("pod");
  pod.state = state;
  return pod;
}

ContainerSnapshot ContainerIn(const std::string& id, ContainerPhase phase) {
  ContainerSnapshot container;
  container.id = ContainerId(id);
  container.phase = phase;
  if (phase == ContainerPhase::kRunning) container.started_at = kNow;
  return container;
}

// "pod created", "a stopped", ...
std::vector<std::string> Texts(const std::vector<PodEvent>& events) {
  static constexpr const char* kNames[] = {"created", "started", "stopped",
                                           "deleted"};
  std::vector<std::string> texts;
  for (const PodEvent& event : events) {
    texts.push_back(absl::StrCat(event.subject_id, " ",
                                 kNames[static_cast<int>(event.kind)]));
  }
  return texts;
}

class PodEventLogTest : public testing::Test {
 protected:
  std::vector<std::string> Advance(SandboxState state,
                                   std::vector<ContainerSnapshot> containers,
                                   bool removed = false) {
    return Texts(log_.Advance(PodIn(state), containers, removed, kNow));
  }
  PodEventLog log_;
};

TEST_F(PodEventLogTest, ALifeIsToldStepByStep) {
  const auto a = [](ContainerPhase phase) { return ContainerIn("a", phase); };

  EXPECT_THAT(Advance(SandboxState::kCreating, {}), IsEmpty());
  EXPECT_THAT(Advance(SandboxState::kReady, {}),
              ElementsAre("pod created", "pod started"));
  EXPECT_THAT(Advance(SandboxState::kReady, {a(ContainerPhase::kCreating)}),
              IsEmpty());
  EXPECT_THAT(Advance(SandboxState::kReady, {a(ContainerPhase::kCreated)}),
              ElementsAre("a created"));
  EXPECT_THAT(Advance(SandboxState::kReady, {a(ContainerPhase::kRunning)}),
              ElementsAre("a started"));
  EXPECT_THAT(Advance(SandboxState::kReady, {a(ContainerPhase::kRunning)}),
              IsEmpty());
  EXPECT_THAT(Advance(SandboxState::kStopping, {a(ContainerPhase::kExited)}),
              ElementsAre("a stopped"));
  EXPECT_THAT(Advance(SandboxState::kStopped, {a(ContainerPhase::kExited)}),
              ElementsAre("pod stopped"));
  EXPECT_THAT(Advance(SandboxState::kStopped, {}), ElementsAre("a deleted"));
  EXPECT_THAT(Advance(SandboxState::kStopped, {}, /*removed=*/true),
              ElementsAre("pod deleted"));
}

TEST_F(PodEventLogTest, StepsThatNobodySawComeInOrder) {
  ContainerSnapshot ran = ContainerIn("a", ContainerPhase::kExited);
  ran.started_at = kNow;

  EXPECT_THAT(Advance(SandboxState::kReady, {ran}),
              ElementsAre("pod created", "pod started", "a created",
                          "a started", "a stopped"));
}

TEST_F(PodEventLogTest, AContainerThatNeverStartedIsNotSaidToHave) {
  Advance(SandboxState::kReady, {});

  EXPECT_THAT(Advance(SandboxState::kReady,
                      {ContainerIn("a", ContainerPhase::kExited)}),
              ElementsAre("a created", "a stopped"));
  EXPECT_THAT(Advance(SandboxState::kReady, {}), ElementsAre("a deleted"));
}

TEST_F(PodEventLogTest, APodThatIsRemovedTakesItsContainersAlong) {
  const ContainerSnapshot a = ContainerIn("a", ContainerPhase::kRunning);
  Advance(SandboxState::kReady, {a});

  const std::vector<PodEvent> events =
      log_.Advance(PodIn(SandboxState::kStopped), {a}, true, kNow);

  EXPECT_THAT(Texts(events), ElementsAre("a stopped", "a deleted",
                                         "pod stopped", "pod deleted"));
  EXPECT_THAT(events.back().containers, IsEmpty());
  EXPECT_EQ(events.back().pod.state, SandboxState::kStopped);
  EXPECT_THAT(Advance(SandboxState::kStopped, {a}), IsEmpty());
}

TEST_F(PodEventLogTest, APodWhoseBootFailedNeverWasThere) {
  EXPECT_THAT(Advance(SandboxState::kStopping, {}), IsEmpty());
  EXPECT_THAT(Advance(SandboxState::kStopped, {}, /*removed=*/true), IsEmpty());
}

TEST_F(PodEventLogTest, WhatADaemonFoundIsNoNews) {
  const ContainerSnapshot a = ContainerIn("a", ContainerPhase::kExited);
  log_.Adopt(PodIn(SandboxState::kStopped), {a});

  EXPECT_THAT(Advance(SandboxState::kStopped, {a}), IsEmpty());
  EXPECT_THAT(Advance(SandboxState::kStopped, {a}, /*removed=*/true),
              ElementsAre("a deleted", "pod deleted"));
}

}  // namespace
}  // namespace podvisor
