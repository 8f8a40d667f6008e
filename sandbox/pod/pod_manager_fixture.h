#ifndef PODVISOR_SANDBOX_POD_POD_MANAGER_FIXTURE_H_
#define PODVISOR_SANDBOX_POD_POD_MANAGER_FIXTURE_H_

#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "base/file.h"
#include "gtest/gtest.h"
#include "network/fake_pod_network.h"
#include "sandbox/host/host_cgroups.h"
#include "sandbox/pod/pod_manager.h"
#include "sandbox/vm/fake_vm.h"
#include "sandbox/vm/process_watcher.h"

namespace podvisor {

inline constexpr int64_t kMiB = int64_t{1} << 20;

// Two images, "busybox" and "files", whose file is not looked at by a fake
// QEMU.
class TestImageStore final : public ImageStore {
 public:
  explicit TestImageStore(std::string path) : path_(std::move(path)) {
    image_.id = "sha256:" + std::string(64, 'b');
    image_.config.cmd = {"sh"};
    files_.id = "sha256:" + std::string(64, 'c');
  }

  void SetStopSignal(const std::string& signal) {
    image_.config.stop_signal = signal;
  }

  absl::StatusOr<std::string> Pull(absl::string_view, const RegistryAuth&,
                                   const std::function<bool()>&) override {
    return image_.id;
  }
  absl::StatusOr<Image> Get(absl::string_view reference) const override {
    for (const auto& [name, image] :
         {std::pair("busybox", &image_), std::pair("files", &files_)}) {
      if (reference == name || reference == image->id ||
          reference == absl::StripPrefix(image->id, "sha256:")) {
        return *image;
      }
    }
    return absl::NotFoundError("no such image");
  }
  std::vector<Image> List() const override { return {image_, files_}; }
  absl::Status Remove(absl::string_view) override { return absl::OkStatus(); }
  absl::StatusOr<ImageRootFs> RootFs(absl::string_view reference) override {
    const absl::StatusOr<Image> image = Get(reference);
    if (!image.ok()) return image.status();
    return ImageRootFs{std::string(absl::StripPrefix(image->id, "sha256:")),
                       "squashfs", path_, nullptr};
  }
  absl::StatusOr<ImageFsUsage> FsUsage() const override {
    return ImageFsUsage();
  }

 private:
  const std::string path_;
  Image image_;
  Image files_;
};

// Pods and their containers on fake VMs. Real are the store, the run directory
// and the scratch disk, so this needs root.
class PodManagerFixture : public testing::Test {
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
    settings_.resolv_conf = directory_ + "/resolv.conf";
    ASSERT_TRUE(
        WriteFileAtomically(settings_.resolv_conf, "nameserver 1.1.1.1\n")
            .ok());
    settings_.limits.boot_vcpus = 1;
    settings_.limits.max_vcpus = 8;
    settings_.limits.boot_memory_bytes = 256 * kMiB;
    settings_.limits.max_memory_bytes = 8192 * kMiB;
    settings_.sizing.base_milli_cpu = 1000;
    settings_.sizing.base_memory_bytes = 256 * kMiB;
    settings_.virtiofsd = "/usr/lib/qemu/virtiofsd";
    settings_.scratch_bytes = 64 * kMiB;
    images_ = std::make_unique<TestImageStore>(directory_ + "/image");
    scratch_ = std::make_unique<ScratchDisks>(settings_.root_dir,
                                              settings_.scratch_bytes);
    store_ = StateStore::Open(settings_.root_dir).value();
    watcher_ = ProcessWatcher::Create().value();
    cgroups_ = std::make_unique<HostCgroups>(CgroupTrees(), &clock_);
    pods_ = std::make_unique<PodManager>(Services());
  }

  void TearDown() override {
    if (pods_ == nullptr) return;
    for (const auto& pod : pods_->ListPods()) {
      EXPECT_TRUE(pods_->RemovePod(pod, Soon()).ok());
    }
    EXPECT_EQ(launcher_.running(), 0);
    EXPECT_TRUE(network_.attached().empty());
    EXPECT_TRUE(store_->LoadAll()->pods.empty());
    pods_.reset();
    EXPECT_TRUE(RemoveTree(directory_).ok());
  }

  PodServices Services() {
    PodServices services;
    services.vm = {&clock_,   &launcher_, watcher_.get(), scratch_.get(),
                   &metrics_, &settings_, cgroups_.get(), &network_};
    services.store = store_.get();
    services.images = images_.get();
    services.timers = &timers_;
    services.clean_ups = &timers_;
    services.events = &events_;
    return services;
  }
  // The host's; without any, pods do as well.
  virtual std::vector<CgroupMount> CgroupTrees() { return {}; }
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
  // Another daemon takes over what the present one leaves.
  void Restart() {
    pods_.reset();
    pods_ = std::make_unique<PodManager>(Services());
    ASSERT_TRUE(pods_->Recover(Soon()).ok());
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
  FakePodNetwork network_;
  TimerQueue timers_{clock_, 0};
  PodEventFeed events_;
  std::unique_ptr<ProcessWatcher> watcher_;
  std::unique_ptr<HostCgroups> cgroups_;
  std::unique_ptr<TestImageStore> images_;
  std::unique_ptr<ScratchDisks> scratch_;
  std::unique_ptr<StateStore> store_;
  std::unique_ptr<PodManager> pods_;
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_POD_POD_MANAGER_FIXTURE_H_
