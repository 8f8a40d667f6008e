// Pods whose guest or host does not do as it is told, on fake VMs.

#include <sys/wait.h>

#include <atomic>
#include <cerrno>
#include <memory>
#include <thread>

#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sandbox/pod/container_lifecycle.h"
#include "sandbox/pod/pod_manager_fixture.h"
#include "sandbox/record/store_faults.h"

namespace podvisor {
namespace {

using testing::SizeIs;

class PodLifeTest : public PodManagerFixture {
 protected:
  bool HasDirectory(const PodId& id) {
    const std::string path = settings_.run_dir + "/pods/" + id.value();
    return access(path.c_str(), F_OK) == 0;
  }
  void LetSweepFail(bool fail) {
    LaunchFaults faults;
    if (fail) faults.sweep = absl::DeadlineExceededError("still running");
    launcher_.SetFaults(faults);
  }
};

TEST_F(PodLifeTest, AStopEndsACallThatHangsInTheGuest) {
  const std::shared_ptr<Pod> pod = Run("hangs");
  Guest(pod).SetFaults({.create_hangs = true});
  absl::Status created;
  std::thread creator([&] {
    created =
        pods_->CreateContainer(pod, ContainerOf(1000, 64), Soon()).status();
  });
  while (Position(Guest(pod), "Create ") < 0) std::this_thread::yield();

  EXPECT_TRUE(pod->Stop(Soon()).ok());

  creator.join();
  EXPECT_FALSE(created.ok());
  EXPECT_EQ(pod->state(), SandboxState::kStopped);
  EXPECT_TRUE(pods_->ListContainers().empty());
}

// Fails the first launch, as soon as the test says so.
class LauncherThatFailsOnce final : public VmLauncher {
 public:
  explicit LauncherThatFailsOnce(VmLauncher* next) : next_(next) {}

  absl::StatusOr<std::unique_ptr<Vm>> Launch(const VmSpec& spec,
                                             const VmRecorder& recorder,
                                             absl::Time deadline) override {
    if (launches_++ > 0) return next_->Launch(spec, recorder, deadline);
    begun.Notify();
    fail.WaitForNotification();
    return absl::UnavailableError("QEMU died");
  }
  absl::StatusOr<std::unique_ptr<Vm>> Adopt(const VmSpec& spec,
                                            const VmRecord& record,
                                            absl::Time deadline) override {
    return next_->Adopt(spec, record, deadline);
  }
  absl::Status Sweep(const PodId& id, absl::Time deadline) override {
    return next_->Sweep(id, deadline);
  }

  absl::Notification begun;
  absl::Notification fail;

 private:
  VmLauncher* const next_;
  std::atomic<int> launches_ = 0;
};

TEST_F(PodLifeTest, ACallThatJoinedAFailedBootTriesByItself) {
  LauncherThatFailsOnce launcher(&launcher_);
  PodServices services = Services();
  services.vm.launcher = &launcher;
  pods_ = std::make_unique<PodManager>(services);
  absl::Status first;
  std::thread caller(
      [&] { first = pods_->RunPod(Spec("joined"), Soon()).status(); });
  launcher.begun.WaitForNotification();

  absl::StatusOr<PodId> second = absl::UnknownError("not called");
  std::thread joined([&] { second = pods_->RunPod(Spec("joined"), Soon()); });
  launcher.fail.Notify();
  caller.join();
  joined.join();

  EXPECT_TRUE(absl::IsUnavailable(first)) << first;
  EXPECT_TRUE(second.ok()) << second.status();
  EXPECT_THAT(pods_->ListPods(), SizeIs(1));
  // This manager must not outlive its launcher.
  for (const std::shared_ptr<Pod>& pod : pods_->ListPods()) {
    EXPECT_TRUE(pods_->RemovePod(pod, Soon()).ok());
  }
  pods_ = std::make_unique<PodManager>(Services());
}

TEST_F(PodLifeTest, SettlingOfABusyPodKeepsNoTimer) {
  const std::shared_ptr<Pod> pod = Run("busy");
  const FoundContainer found = Create(pod, ContainerOf(4000, 64));
  ASSERT_TRUE(pods_->RemoveContainer(found, Soon()).ok());
  if (!pod->operation_lock().LockUntil(Soon())) FAIL();

  std::thread([&] { Settle(); }).join();
  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 4);
  pod->operation_lock().Unlock();

  clock_.Advance(absl::Seconds(1));
  timers_.RunDue();
  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 1);
}

TEST_F(PodLifeTest, AGuestThatGivesNoStatsIsNotAskedByEveryPoll) {
  const std::shared_ptr<Pod> pod = Run("wedged");
  Guest(pod).SetFaults({.stats_hang = true});
  clock_.Advance(absl::Seconds(1));
  timers_.RunDue();
  const auto poll = [&] {
    for (int i = 0; i < 5; ++i)
      pod->sampler().SampleIfOlderThan(absl::ZeroDuration());
    return timers_.RunDue();
  };

  EXPECT_EQ(poll(), 0);
  clock_.Advance(absl::Seconds(2));
  EXPECT_EQ(poll(), 1);
  EXPECT_EQ(poll(), 0);
}

TEST_F(PodLifeTest, ABootThatCannotBeUndoneKeepsItsPlaceUntilItIsStopped) {
  LaunchFaults faults;
  faults.guest.faults.configure_fails = true;
  faults.sweep = absl::DeadlineExceededError("still running");
  launcher_.SetFaults(faults);

  EXPECT_FALSE(pods_->RunPod(Spec("stays"), Soon()).ok());

  ASSERT_THAT(pods_->ListPods(), SizeIs(1));
  const std::shared_ptr<Pod> pod = pods_->ListPods().front();
  EXPECT_EQ(pod->state(), SandboxState::kStopping);
  EXPECT_TRUE(HasDirectory(pod->id()));
  EXPECT_THAT(store_->LoadAll()->pods, SizeIs(1));
  EXPECT_FALSE(pods_->RemovePod(pod, Soon()).ok());
  LetSweepFail(false);
  Run("other");
  EXPECT_NE(launcher_.launched()[0].uid, launcher_.launched()[1].uid);

  EXPECT_TRUE(pods_->RemovePod(pod, Soon()).ok());
  EXPECT_FALSE(HasDirectory(pod->id()));
  EXPECT_EQ(launcher_.running(), 1);
}

TEST_F(PodLifeTest, AVmWithoutARecordIsEndedBeforeItsMarkGoes) {
  const PodId id = Run("forgotten")->id();
  pods_.reset();
  ASSERT_TRUE(store_->DeletePod(id).ok());

  LetSweepFail(true);
  Restart();
  EXPECT_TRUE(HasDirectory(id));
  EXPECT_EQ(launcher_.running(), 1);

  LetSweepFail(false);
  Restart();
  EXPECT_FALSE(HasDirectory(id));
  EXPECT_EQ(launcher_.running(), 0);
}

TEST_F(PodLifeTest, APodThatGoesLeavesTheNameToWhoHasIt) {
  const PodId first = Run("twin")->id();
  pods_.reset();
  PodRecord twin = store_->LoadAll()->pods.at(0);
  twin.id = PodId(std::string(64, 'f'));
  twin.state = SandboxState::kStopped;
  twin.vm_json.clear();
  ASSERT_TRUE(store_->PutPod(twin).ok());
  Restart();

  ASSERT_TRUE(
      pods_->RemovePod(pods_->FindPod(first.value()).value(), Soon()).ok());

  // The name is still the other one's.
  EXPECT_TRUE(
      absl::IsAlreadyExists(pods_->RunPod(Spec("twin"), Soon()).status()));
}

TEST_F(PodLifeTest, AShareThatCannotBePluggedLeavesNoProcess) {
  const std::shared_ptr<Pod> pod = Run("share");
  QemuFaults refuses;
  refuses.device_add_refused = true;
  ContainerSpec spec = ContainerOf(1000, 64);
  spec.mounts.push_back({"/etc/hosts", "/etc/hosts"});
  Create(pod, ContainerOf(1000, 64));  // has the image's disk plugged
  launcher_.machine(pod->id())->qemu().SetFaults(refuses);
  spec.name = "shares";

  EXPECT_FALSE(pods_->CreateContainer(pod, spec, Soon()).ok());

  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

TEST_F(PodLifeTest, AStopEndsACallThatWaitsForASilentVirtiofsd) {
  const std::shared_ptr<Pod> pod = Run("silent");
  const std::string started = directory_ + "/started";
  settings_.virtiofsd = directory_ + "/virtiofsd";
  ASSERT_TRUE(WriteFileAtomically(
                  settings_.virtiofsd,
                  "#!/bin/sh\n: >" + started + "\nexec tail -f /dev/null\n",
                  0755)
                  .ok());
  ContainerSpec spec = ContainerOf(1000, 64);
  spec.mounts.push_back({"/etc/hosts", "/etc/hosts"});
  absl::Status created;
  std::thread creator([&] {
    // Longer than the stop has.
    created =
        pods_->CreateContainer(pod, spec, Soon() + absl::Minutes(1)).status();
  });
  while (access(started.c_str(), F_OK) != 0) std::this_thread::yield();

  EXPECT_TRUE(pod->Stop(Soon()).ok());

  creator.join();
  EXPECT_FALSE(created.ok());
  EXPECT_EQ(pod->state(), SandboxState::kStopped);
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD) << "virtiofsd is still there";
}

TEST_F(PodLifeTest, APodIsStoppedAlsoWhereNothingCanBeStored) {
  const std::shared_ptr<Pod> pod = Run("unwritable");
  StoreFaults store(settings_.root_dir);
  store.FailAfter(0);

  EXPECT_TRUE(pod->Stop(Soon()).ok());

  EXPECT_EQ(pod->state(), SandboxState::kStopped);
  EXPECT_FALSE(HasDirectory(pod->id()));
  store.Heal();
}

TEST_F(PodLifeTest, AVmThatDiesEndsItsPodAlsoWhereNothingCanBeStored) {
  const std::shared_ptr<Pod> pod = Run("dies-unwritable");
  StoreFaults store(settings_.root_dir);
  store.FailAfter(0);

  launcher_.machine(pod->id())->Die("killed by the test");
  timers_.RunDue();

  EXPECT_EQ(pod->state(), SandboxState::kStopped);
  EXPECT_FALSE(HasDirectory(pod->id()));
  store.Heal();
}

}  // namespace
}  // namespace podvisor
