// Pods and their containers with a fake VM: which calls are made, in which
// order, and what is left when one of them fails. Real are the store, the run
// directory and the scratch disk, so this needs root.

#include "sandbox/pod_manager.h"

#include <unistd.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sandbox/container_lifecycle.h"
#include "sandbox/fake_vm.h"

namespace podvisor {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

// One image, "busybox", whose file is not looked at by a fake QEMU.
class OneImage final : public ImageStore {
 public:
  explicit OneImage(std::string path) : path_(std::move(path)) {
    image_.id = "sha256:" + std::string(64, 'b');
    image_.config.cmd = {"sh"};
  }

  absl::StatusOr<std::string> Pull(absl::string_view, const RegistryAuth&,
                                   const std::function<bool()>&) override {
    return image_.id;
  }
  absl::StatusOr<Image> Get(absl::string_view reference) const override {
    if (reference == "busybox" || reference == image_.id) return image_;
    return absl::NotFoundError("no such image");
  }
  std::vector<Image> List() const override { return {image_}; }
  absl::Status Remove(absl::string_view) override { return absl::OkStatus(); }
  absl::StatusOr<ImageRootFs> RootFs(absl::string_view reference) override {
    if (const auto image = Get(reference); !image.ok()) return image.status();
    return ImageRootFs{std::string(64, 'b'), "squashfs", path_, nullptr};
  }
  absl::StatusOr<ImageFsUsage> FsUsage() const override {
    return ImageFsUsage();
  }

 private:
  const std::string path_;
  Image image_;
};

class PodManagerTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "NOT TESTED: mounts need root";
    std::string pattern = "/tmp/podvisor-manager.XXXXXX";
    directory_ = mkdtemp(pattern.data());
    settings_.root_dir = directory_ + "/root";
    settings_.run_dir = directory_ + "/run";
    ASSERT_TRUE(MakeDirectories(settings_.root_dir).ok());
    ASSERT_TRUE(MakeDirectories(settings_.run_dir).ok());
    ASSERT_TRUE(WriteFileAtomically(directory_ + "/image", "squashfs").ok());
    settings_.limits.boot_vcpus = 1;
    settings_.limits.max_vcpus = 8;
    settings_.limits.boot_memory_bytes = 256 * kMiB;
    settings_.limits.max_memory_bytes = 8192 * kMiB;
    settings_.sizing.base_milli_cpu = 1000;
    settings_.sizing.base_memory_bytes = 256 * kMiB;
    settings_.scratch_bytes = 64 * kMiB;
    images_ = std::make_unique<OneImage>(directory_ + "/image");
    scratch_ = std::make_unique<ScratchDisks>(settings_.root_dir,
                                              settings_.scratch_bytes);
    store_ = StateStore::Open(settings_.root_dir).value();
    PodServices services;
    services.vm = {&clock_, &launcher_, scratch_.get(), &metrics_, &settings_};
    services.store = store_.get();
    services.images = images_.get();
    services.timers = &timers_;
    pods_ = std::make_unique<PodManager>(services);
  }

  void TearDown() override {
    if (pods_ == nullptr) return;
    for (const auto& pod : pods_->ListPods()) {
      EXPECT_TRUE(pods_->RemovePod(pod, Soon()).ok());
    }
    EXPECT_EQ(launcher_.running(), 0);
    EXPECT_TRUE(store_->LoadAll()->pods.empty());
    pods_.reset();
    EXPECT_TRUE(RemoveTree(directory_).ok());
  }

  absl::Time Soon() { return clock_.Now() + absl::Seconds(30); }

  static PodSpec Spec(const std::string& name) {
    PodSpec spec;
    spec.metadata = {name, name + "-uid", "test", 0};
    return spec;
  }
  static ContainerSpec ContainerOf(int64_t milli_cpu, int64_t memory_mib) {
    ContainerSpec spec;
    spec.name = "main";
    spec.image = "busybox";
    spec.resources.cpu_period = 100'000;
    spec.resources.cpu_quota = milli_cpu * 100;
    spec.resources.memory_limit_bytes = memory_mib * kMiB;
    return spec;
  }
  std::shared_ptr<Pod> Run(const std::string& name) {
    const absl::StatusOr<PodId> id = pods_->RunPod(Spec(name), Soon());
    EXPECT_TRUE(id.ok()) << id.status();
    return pods_->FindPod(id->value()).value();
  }
  FoundContainer Create(const std::shared_ptr<Pod>& pod,
                        const ContainerSpec& spec) {
    const absl::StatusOr<ContainerId> id =
        pods_->CreateContainer(pod, spec, Soon());
    EXPECT_TRUE(id.ok()) << id.status();
    return pods_->FindContainer(id->value()).value();
  }
  FakeGuestAgent& Guest(const std::shared_ptr<Pod>& pod) {
    return launcher_.machine(pod->id())->guest();
  }
  // The place of the first call that begins with `what`; -1 without one.
  static int Position(FakeGuestAgent& guest, absl::string_view what) {
    const std::vector<std::string> calls = guest.calls();
    for (size_t i = 0; i < calls.size(); ++i) {
      if (absl::StartsWith(calls[i], what)) return static_cast<int>(i);
    }
    return -1;
  }
  void Settle() {
    clock_.Advance(settings_.shrink_delay);
    timers_.RunDue();
  }

  // Real waits measure their deadlines by the real clock.
  FakeClock clock_{absl::Now()};
  std::string directory_;
  PodSettings settings_;
  PodMetrics metrics_;
  FakeVmLauncher launcher_{&clock_};
  TimerQueue timers_{clock_, 0};
  std::unique_ptr<OneImage> images_;
  std::unique_ptr<ScratchDisks> scratch_;
  std::unique_ptr<StateStore> store_;
  std::unique_ptr<PodManager> pods_;
};

TEST_F(PodManagerTest, APodBootsAtItsBaseAndIsReady) {
  const std::shared_ptr<Pod> pod = Run("base");

  const PodSnapshot snapshot = pod->Snapshot();
  EXPECT_EQ(snapshot.state, SandboxState::kReady);
  EXPECT_EQ(snapshot.vm.online_vcpus, 1);
  EXPECT_EQ(snapshot.vm.online_memory_bytes, 256 * kMiB);
}

TEST_F(PodManagerTest, TheGuestHasItsCpusBeforeTheContainerIsCreated) {
  const std::shared_ptr<Pod> pod = Run("grow");

  Create(pod, ContainerOf(4000, 2048));

  const VmSizes sizes = pod->Snapshot().vm;
  EXPECT_EQ(sizes.online_vcpus, 4);
  EXPECT_EQ(sizes.online_memory_bytes, 2048 * kMiB);
  EXPECT_GE(Position(Guest(pod), "SetOnlineCpus 4"), 0);
  EXPECT_LT(Position(Guest(pod), "SetOnlineCpus 4"),
            Position(Guest(pod), "Create "));
}

TEST_F(PodManagerTest, AFailedCreateLeavesNothingAndTheVmGivesBack) {
  const std::shared_ptr<Pod> pod = Run("undo");
  Guest(pod).SetFaults({.create_fails = true});

  const absl::Status status =
      pods_->CreateContainer(pod, ContainerOf(4000, 2048), Soon()).status();

  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_TRUE(pods_->ListContainers().empty());
  EXPECT_TRUE(store_->LoadAll()->containers.empty());
  EXPECT_TRUE(Guest(pod).mounted_images().empty());
  Settle();
  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 1);
  EXPECT_EQ(pod->Snapshot().vm.online_memory_bytes, 256 * kMiB);
}

TEST_F(PodManagerTest, AVmThatCannotGrowIsResourceExhaustedAndNamesTheStage) {
  const std::shared_ptr<Pod> pod = Run("stuck");
  Guest(pod).SetFaults({.cpu_never_onlines = true});

  const absl::Status status =
      pods_->CreateContainer(pod, ContainerOf(4000, 0), Soon()).status();

  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("guest"));
  EXPECT_EQ(Position(Guest(pod), "Create "), -1);
}

TEST_F(PodManagerTest, WhatAnExitedContainerHadGoesBackAfterTheDelay) {
  const std::shared_ptr<Pod> pod = Run("exit");
  const FoundContainer found = Create(pod, ContainerOf(4000, 1024));
  ASSERT_TRUE(StartContainer(*pod, *found.container, Soon()).ok());

  Guest(pod).Exit(found.container->id(), 3);
  ASSERT_TRUE(found.container->AwaitExit(Soon()));

  EXPECT_EQ(found.container->Snapshot().exit_code, 3);
  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 4);
  // The notice of the exit arms the timer on another thread.
  ASSERT_TRUE(
      StopContainer(*pod, *found.container, absl::Seconds(1), Soon()).ok());
  Settle();
  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 1);
  EXPECT_EQ(pod->Snapshot().vm.online_memory_bytes, 256 * kMiB);
}

TEST_F(PodManagerTest, AnUpdateDownwardsLowersTheCgroupBeforeTheVmShrinks) {
  const std::shared_ptr<Pod> pod = Run("down");
  const FoundContainer found = Create(pod, ContainerOf(4000, 1024));
  ContainerResources less;
  less.cpu_quota = 200'000;

  ASSERT_TRUE(UpdateContainer(*pod, *found.container, less, Soon()).ok());

  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 4);
  EXPECT_EQ(found.container->Snapshot().applied.cpu_quota, 200'000);
  Settle();
  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 2);
  EXPECT_LT(Position(Guest(pod), "Update "),
            Position(Guest(pod), "SetOnlineCpus 2"));
}

TEST_F(PodManagerTest, AFailedUpdateRestoresWhatWas) {
  const std::shared_ptr<Pod> pod = Run("restore");
  const FoundContainer found = Create(pod, ContainerOf(1000, 256));
  Guest(pod).SetFaults({.update_fails = true});
  ContainerResources more;
  more.cpu_quota = 400'000;

  const absl::Status status =
      UpdateContainer(*pod, *found.container, more, Soon());

  EXPECT_THAT(std::string(status.message()),
              testing::HasSubstr("container cgroup"));
  EXPECT_EQ(found.container->Snapshot().applied.cpu_quota, 100'000);
  Settle();
  EXPECT_EQ(pod->Snapshot().vm.online_vcpus, 1);
}

TEST_F(PodManagerTest, AVmThatDiesEndsItsContainersAndCanBeRemoved) {
  const std::shared_ptr<Pod> pod = Run("dies");
  const FoundContainer found = Create(pod, ContainerOf(1000, 64));
  ASSERT_TRUE(StartContainer(*pod, *found.container, Soon()).ok());

  launcher_.machine(pod->id())->Die("killed by the test");

  EXPECT_EQ(found.container->phase(), ContainerPhase::kExited);
  EXPECT_EQ(found.container->Snapshot().exit_code, 137);
  EXPECT_NE(pod->state(), SandboxState::kReady);
  timers_.RunDue();
  EXPECT_EQ(pod->state(), SandboxState::kStopped);
}

TEST_F(PodManagerTest, AFailedBootIsForgottenAndDoesNotBlockARetry) {
  LaunchFaults panic;
  panic.launch = absl::UnavailableError("panic");
  launcher_.SetFaults(panic);
  EXPECT_TRUE(
      absl::IsUnavailable(pods_->RunPod(Spec("retry"), Soon()).status()));
  EXPECT_TRUE(store_->LoadAll()->pods.empty());

  launcher_.SetFaults(LaunchFaults());
  Run("retry");
}

TEST_F(PodManagerTest, AnEmptyOrUnknownPrefixIsNotFound) {
  Run("one");
  EXPECT_TRUE(absl::IsNotFound(pods_->FindPod("").status()));
  EXPECT_TRUE(absl::IsNotFound(pods_->FindPod("xyz").status()));
}

}  // namespace
}  // namespace podvisor
