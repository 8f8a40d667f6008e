// Containers of a guest that answers late or not at all, on fake VMs.

#include "sandbox/pod/container_lifecycle.h"

#include <csignal>
#include <functional>
#include <set>
#include <string>
#include <thread>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sandbox/pod/pod_manager_fixture.h"

namespace podvisor {
namespace {

using testing::Contains;

using ContainerLifecycleTest = PodManagerFixture;

TEST_F(ContainerLifecycleTest, AStartWhoseAnswerIsLostIsFoundToRun) {
  const std::shared_ptr<Pod> pod = Run("lost");
  const FoundContainer found = Create(pod, ContainerOf(1000, 64));
  Guest(pod).SetFaults({.start_answer_lost = true});

  EXPECT_TRUE(StartContainer(*pod, *found.container, Soon()).ok());

  EXPECT_EQ(found.container->phase(), ContainerPhase::kRunning);
  EXPECT_NE(found.container->pump(), nullptr);
}

TEST_F(ContainerLifecycleTest, AStartThatDidNotHappenNeverWill) {
  const std::shared_ptr<Pod> pod = Run("never");
  const FoundContainer found = Create(pod, ContainerOf(1000, 64));
  Guest(pod).SetFaults({.start_hangs = true});

  EXPECT_TRUE(
      absl::IsDeadlineExceeded(StartContainer(*pod, *found.container, Soon())));

  EXPECT_EQ(found.container->phase(), ContainerPhase::kExited);
  EXPECT_EQ(found.container->Snapshot().reason, "StartError");
  EXPECT_THAT(Guest(pod).calls(),
              Contains("Delete " + found.container->id().value()));
}

TEST_F(ContainerLifecycleTest, AContainerOfWhichNothingIsKnownStaysCreated) {
  const std::shared_ptr<Pod> pod = Run("unknown");
  const FoundContainer found = Create(pod, ContainerOf(1000, 64));
  Guest(pod).SetFaults({.start_answer_lost = true, .list_hangs = true});

  EXPECT_TRUE(
      absl::IsDeadlineExceeded(StartContainer(*pod, *found.container, Soon())));
  EXPECT_EQ(found.container->phase(), ContainerPhase::kCreated);
  EXPECT_NE(found.container->pump(), nullptr);

  // It ran all the time, as the next start finds out.
  Guest(pod).SetFaults({});
  EXPECT_TRUE(StartContainer(*pod, *found.container, Soon()).ok());
  EXPECT_EQ(found.container->phase(), ContainerPhase::kRunning);
}

TEST_F(ContainerLifecycleTest,
       AFailedStartEndsTheContainerThatCannotBeDeleted) {
  const std::shared_ptr<Pod> pod = Run("fails");
  const FoundContainer found = Create(pod, ContainerOf(1000, 64));
  Guest(pod).SetFaults({.start_fails = true, .delete_fails = true});

  EXPECT_TRUE(absl::IsInternal(StartContainer(*pod, *found.container, Soon())));

  EXPECT_EQ(found.container->phase(), ContainerPhase::kExited);
  EXPECT_EQ(found.container->Snapshot().exit_code, 128);
  Guest(pod).SetFaults({});
}

TEST_F(ContainerLifecycleTest, WhatIsBusyIsNotWaitedForBeyondTheDeadline) {
  const std::shared_ptr<Pod> pod = Run("busy");
  const FoundContainer found = Create(pod, ContainerOf(1000, 64));
  ContainerSpec next = ContainerOf(1000, 64);
  next.name = "next";
  // Each from another thread: the analysis knows what this one has.
  const auto times_out = [&](const std::function<absl::Status()>& call) {
    std::thread([&] {
      const absl::Status status = call();
      EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
    }).join();
  };
  const absl::Time now = clock_.Now();

  if (!pod->operation_lock().LockUntil(Soon())) FAIL();
  times_out([&] { return pods_->CreateContainer(pod, next, now).status(); });
  times_out([&] { return pods_->RemoveContainer(found, now); });
  times_out([&] {
    return pod->resizer().UpdateTotals(ContainerResources(), std::nullopt, now);
  });
  pod->operation_lock().Unlock();

  if (!found.container->operation_lock().LockUntil(Soon())) FAIL();
  times_out([&] { return StartContainer(*pod, *found.container, now); });
  times_out([&] {
    return StopContainer(*pod, *found.container, absl::Seconds(1), now);
  });
  found.container->operation_lock().Unlock();

  EXPECT_EQ(pods_->ListContainers().size(), 1);
}

TEST_F(ContainerLifecycleTest, AStopWithoutGraceEndsThatOfOneWhoWaits) {
  const std::shared_ptr<Pod> pod = Run("hurry");
  const FoundContainer found = Create(pod, ContainerOf(1000, 64));
  ASSERT_TRUE(StartContainer(*pod, *found.container, Soon()).ok());
  Guest(pod).SetFaults({.ignores_sigterm = true});
  absl::Status patient;
  std::thread waits([&] {
    patient = StopContainer(*pod, *found.container, absl::Hours(1),
                            clock_.Now() + absl::Hours(2));
  });
  const std::string told =
      absl::StrCat("Signal ", found.container->id().value(), " ", SIGTERM);
  while (!absl::c_linear_search(Guest(pod).calls(), told)) {
    std::this_thread::yield();
  }

  const absl::Status hurried =
      StopContainer(*pod, *found.container, absl::ZeroDuration(), Soon());
  waits.join();

  EXPECT_TRUE(hurried.ok()) << hurried;
  EXPECT_TRUE(patient.ok()) << patient;
  EXPECT_EQ(found.container->Snapshot().exit_code, 137);
}

TEST_F(ContainerLifecycleTest, TheEndOfAProcessThatNeverStartedIsRecorded) {
  const std::shared_ptr<Pod> pod = Run("early");
  const FoundContainer found = Create(pod, ContainerOf(1000, 64));

  Guest(pod).Exit(found.container->id(), 3);

  ASSERT_TRUE(found.container->AwaitExit(Soon()));
  EXPECT_EQ(found.container->Snapshot().exit_code, 3);
  EXPECT_EQ(found.container->Snapshot().started_at, absl::InfinitePast());
}

TEST_F(ContainerLifecycleTest, AStopThatFailedTakesNoGraceFromTheNext) {
  const std::shared_ptr<Pod> pod = Run("again");
  const FoundContainer found = Create(pod, ContainerOf(1000, 64));
  ASSERT_TRUE(StartContainer(*pod, *found.container, Soon()).ok());
  Guest(pod).SetFaults({.agent_hangs = true});
  ASSERT_FALSE(
      StopContainer(*pod, *found.container, absl::ZeroDuration(), Soon()).ok());
  Guest(pod).SetFaults({.ignores_sigterm = true});
  const size_t failed_calls = Guest(pod).calls().size();

  std::thread next([&] {
    (void)StopContainer(*pod, *found.container, absl::Hours(1),
                        clock_.Now() + absl::Hours(2));
  });
  while (Guest(pod).calls().size() == failed_calls) std::this_thread::yield();
  Guest(pod).Exit(found.container->id(), 0);
  next.join();

  EXPECT_EQ(found.container->Snapshot().exit_code, 0);
}

TEST_F(ContainerLifecycleTest, AnImageCannotKeepItsContainerFromBeingStopped) {
  images_->SetStopSignal("NONSENSE");
  const std::shared_ptr<Pod> pod = Run("nonsense");
  const FoundContainer found = Create(pod, ContainerOf(1000, 64));
  ASSERT_TRUE(StartContainer(*pod, *found.container, Soon()).ok());

  const absl::Status stopped =
      StopContainer(*pod, *found.container, absl::Seconds(2), Soon());

  EXPECT_TRUE(stopped.ok()) << stopped;
  EXPECT_EQ(found.container->phase(), ContainerPhase::kExited);
}

TEST_F(ContainerLifecycleTest, TheDiskThatTheGuestKeptIsDetachedLater) {
  const std::shared_ptr<Pod> pod = Run("keeps");
  FakeQemu& qemu = launcher_.machine(pod->id())->qemu();
  const std::set<std::string> before = qemu.block_nodes();
  const FoundContainer found = Create(pod, ContainerOf(1000, 64));
  QemuFaults keeps;
  keeps.guest_ignores_unplug = true;
  qemu.SetFaults(keeps);
  ASSERT_TRUE(pods_->RemoveContainer(found, Soon()).ok());
  Settle();
  EXPECT_NE(qemu.block_nodes(), before);

  qemu.SetFaults(QemuFaults());
  clock_.Advance(absl::Minutes(1));
  timers_.RunDue();

  EXPECT_EQ(qemu.block_nodes(), before);
}

TEST_F(ContainerLifecycleTest, AnImageWhoseDiskTheGuestKeptIsMountedAnew) {
  const std::shared_ptr<Pod> pod = Run("anew");
  FakeQemu& qemu = launcher_.machine(pod->id())->qemu();
  QemuFaults keeps;
  keeps.guest_ignores_unplug = true;
  const FoundContainer found = Create(pod, ContainerOf(1000, 64));
  qemu.SetFaults(keeps);
  ASSERT_TRUE(pods_->RemoveContainer(found, Soon()).ok());
  EXPECT_TRUE(Guest(pod).mounted_images().empty());

  // While the removal may still happen nothing is mounted on the disk.
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      pods_->CreateContainer(pod, ContainerOf(1000, 64), Soon()).status()));
  EXPECT_TRUE(Guest(pod).mounted_images().empty());

  qemu.SetFaults(QemuFaults());
  Create(pod, ContainerOf(1000, 64));
  EXPECT_EQ(Guest(pod).mounted_images().size(), 1);
}

TEST_F(ContainerLifecycleTest, AnImageVolumeIsMountedAsLongAsItIsUsed) {
  const std::shared_ptr<Pod> pod = Run("volumes");
  FakeQemu& qemu = launcher_.machine(pod->id())->qemu();
  const std::set<std::string> before = qemu.block_nodes();
  std::vector<FoundContainer> found;
  for (const char* name : {"one", "two"}) {
    ContainerSpec spec = ContainerOf(1000, 64);
    spec.name = name;
    spec.mounts.resize(2);
    spec.mounts[0] = {"/files", "", true};
    spec.mounts[0].image = "files";
    spec.mounts[1] = {"/own", "", true};
    spec.mounts[1].image = "busybox";
    found.push_back(Create(pod, spec));
  }
  EXPECT_EQ(Guest(pod).mounted_images().size(), 2);
  EXPECT_EQ(found[0].container->Snapshot().spec.mounts[0].image_id,
            "sha256:" + std::string(64, 'c'));

  ASSERT_TRUE(pods_->RemoveContainer(found[0], Soon()).ok());
  EXPECT_EQ(Guest(pod).mounted_images().size(), 2);
  ASSERT_TRUE(pods_->RemoveContainer(found[1], Soon()).ok());
  EXPECT_TRUE(Guest(pod).mounted_images().empty());
  EXPECT_EQ(qemu.block_nodes(), before);
}

TEST_F(ContainerLifecycleTest, AnImageVolumeWithoutItsImageIsToldByTheWord) {
  const std::shared_ptr<Pod> pod = Run("missing");
  ContainerSpec spec = ContainerOf(1000, 64);
  spec.mounts.resize(1);
  spec.mounts[0] = {"/files", "", true};
  spec.mounts[0].image = "none";

  const absl::Status status =
      pods_->CreateContainer(pod, spec, Soon()).status();

  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_TRUE(absl::StartsWith(status.message(), kImageVolumeMountFailed));
  EXPECT_TRUE(pod->containers().All().empty());
}

}  // namespace
}  // namespace podvisor
