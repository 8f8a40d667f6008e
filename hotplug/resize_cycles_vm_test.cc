// One real VM, resized at random 200 times with half of its memory in use, and
// a disk attached after each time.

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "base/status_macros.h"
#include "gtest/gtest.h"
#include "guestagent/agent.pb.h"
#include "hotplug/device_removal.h"
#include "hotplug/hotplug_vm.h"
#include "hotplug/vm_resizer.h"

namespace podvisor {
namespace {

constexpr int kCycles = 200;
constexpr uint64_t kSeed = 20261124;
constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kBoot = HotplugVm::kBootBytes;
constexpr int64_t kBlock = 128 * kMiB;

const ContainerId kContainer(std::string(64, 'c'));
const std::string kImage(64, 'd');

absl::Time In(int seconds) { return absl::Now() + absl::Seconds(seconds); }

absl::Status RunTool(const std::vector<std::string>& argv) {
  CommandOptions options;
  options.argv = argv;
  options.deadline = In(60);
  ASSIGN_OR_RETURN(const CommandResult result, RunCommand(options));
  if (result.exit_code == 0) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(argv[0], ": ", result.stderr_data));
}

class ResizeCyclesVmTest : public testing::Test {
 protected:
  ResizeCyclesVmTest() : directory_("/tmp/pvcycles.XXXXXX") {
    EXPECT_NE(mkdtemp(directory_.data()), nullptr);
  }
  ~ResizeCyclesVmTest() override {
    vm_ = nullptr;
    RemoveTree(directory_).IgnoreError();
  }

  void SetUp() override {
    if (!HotplugVm::IsPossible()) {
      GTEST_SKIP() << "NOT TESTED: no " << kHotplugVmQemu
                   << " or no guest image";
    }
    ASSERT_EQ(MakeDisks(), absl::OkStatus());
    auto vm = HotplugVm::Start({{directory_ + "/image", "image", true},
                                {directory_ + "/scratch", "scratch", false}});
    ASSERT_TRUE(vm.ok()) << vm.status();
    vm_ = *std::move(vm);
    ASSERT_EQ(StartContainer(), absl::OkStatus());
  }

  absl::Status MakeDisks() {
    const std::string root = directory_ + "/root";
    const std::string built = "hotplug/memory_filler";
    RETURN_IF_ERROR(MakeDirectories(root + "/proc"));
    RETURN_IF_ERROR(MakeDirectories(root + "/dirty"));
    RETURN_IF_ERROR(RunTool(
        {"cp", "-L",
         access(built.c_str(), R_OK) == 0 ? built : "bazel-bin/" + built,
         root + "/memory_filler"}));
    RETURN_IF_ERROR(RunTool({"mksquashfs", root, directory_ + "/image",
                             "-quiet", "-no-progress", "-all-root"}));
    RETURN_IF_ERROR(
        RunTool({"truncate", "-s", "64M", directory_ + "/scratch"}));
    return RunTool({"mkfs.ext4", "-q", "-F", directory_ + "/scratch"});
  }

  absl::Status StartContainer() {
    agent::v1::ConfigureSandboxRequest sandbox;
    sandbox.set_hostname("cycles");
    sandbox.set_scratch_serial("scratch");
    RETURN_IF_ERROR(vm_->agent().ConfigureSandbox(sandbox, In(60)));
    RETURN_IF_ERROR(
        vm_->agent().MountImage("image", kImage, "squashfs", In(60)));
    agent::v1::ContainerSpec spec;
    spec.mutable_root()->set_image(kImage);
    spec.add_args("/memory_filler");
    spec.set_cwd("/");
    spec.mutable_user()->set_uid(0);
    spec.set_pid_namespace(agent::v1::ContainerSpec::CONTAINER);
    agent::v1::Mount* dirty = spec.add_mounts();
    dirty->set_kind(agent::v1::Mount::TMPFS);
    dirty->set_destination("/dirty");
    dirty->set_size_bytes(int64_t{4} << 30);
    RETURN_IF_ERROR(vm_->agent().Create(kContainer, spec, In(60)).status());
    return vm_->agent().Start(kContainer, In(60));
  }

  // Makes the container use so much memory that can neither be dropped nor
  // written out.
  absl::Status Fill(int64_t bytes) {
    ASSIGN_OR_RETURN(
        const ExecSyncResult result,
        vm_->agent().ExecSync(
            {.container = kContainer,
             .args = {"/memory_filler", "/dirty/file", absl::StrCat(bytes)}},
            In(120)));
    if (result.exit_code == 0) return absl::OkStatus();
    return absl::InternalError(result.stderr_data);
  }

  absl::Status AttachAndDetachDisk() {
    RETURN_IF_ERROR(vm_->qmp()
                        .Execute("blockdev-add",
                                 R"({"driver":"null-co","node-name":"n1",)"
                                 R"("size":1048576,"read-zeroes":true})",
                                 In(10))
                        .status());
    RETURN_IF_ERROR(vm_->qmp()
                        .Execute("device_add",
                                 R"({"driver":"virtio-blk-pci","drive":"n1",)"
                                 R"("id":"disk1","bus":"pb1","serial":"s1"})",
                                 In(10))
                        .status());
    RETURN_IF_ERROR(RemoveDevice(vm_->qmp(), vm_->clock(), "disk1", In(60)));
    return vm_->qmp()
        .Execute("blockdev-del", R"({"node-name":"n1"})", In(10))
        .status();
  }

  // What the host pays for the VM.
  int64_t PssBytes() const {
    const std::string text =
        ReadFile(absl::StrCat("/proc/", vm_->process().pid, "/smaps_rollup"))
            .value_or("");
    for (const absl::string_view line : absl::StrSplit(text, '\n')) {
      if (!absl::StartsWith(line, "Pss:")) continue;
      const std::vector<absl::string_view> words =
          absl::StrSplit(line, ' ', absl::SkipEmpty());
      int64_t kib = 0;
      if (words.size() == 3 && absl::SimpleAtoi(words[1], &kib)) {
        return kib << 10;
      }
    }
    ADD_FAILURE() << "no Pss";
    return 0;
  }

  // Resizes, checks the size against the guest, and returns how long it took.
  absl::Duration Resize(const VmLimits& limits, const VmSize& target) {
    VmResizer resizer = vm_->Resizer(limits);
    const absl::Time begin = absl::Now();
    const auto outcome = resizer.Resize(target, In(60));
    const absl::Duration took = absl::Now() - begin;
    EXPECT_TRUE(outcome.ok()) << outcome.status();
    if (!outcome.ok()) return took;
    wanted_back_ += std::max<int64_t>(0, plugged_ - Hotplugged(target));
    kept_ += outcome->shortfall_bytes;
    plugged_ = outcome->observed.hotplug_plugged_bytes;
    const auto guest = vm_->agent().Observe(In(10));
    EXPECT_TRUE(guest.ok()) << guest.status();
    if (!guest.ok()) return took;
    EXPECT_EQ(guest->cpus_online, target.vcpus);
    // While virtio-mem takes a block offline the kernel counts it once more.
    const auto settled = vm_->agent().AwaitMemoryAtMost(
        guest->memory_total_at_boot_bytes + plugged_, In(20));
    EXPECT_TRUE(settled.ok()) << settled.status();
    if (!settled.ok()) return took;
    EXPECT_EQ(settled->memory_total_bytes - settled->memory_total_at_boot_bytes,
              plugged_);
    if (limits.memory_device == MemoryDevice::kVirtioMem) {
      EXPECT_EQ(plugged_, Hotplugged(target));
    } else {
      EXPECT_GE(plugged_, Hotplugged(target));
    }
    return took;
  }

  static int64_t Hotplugged(const VmSize& size) {
    return size.memory_bytes - kBoot;
  }

  void RunCycles(const VmLimits& limits, int cycles) {
    std::cout << "seed " << kSeed << std::endl;
    std::mt19937_64 random(kSeed);
    std::vector<absl::Duration> grows;
    std::vector<absl::Duration> shrinks;
    VmSize now = {1, kBoot};
    const int64_t pss_before = PssBytes();
    for (int i = 0; i < cycles && !testing::Test::HasFailure(); ++i) {
      const VmSize target = {
          1 + static_cast<int>(random() % 4),
          kBoot + static_cast<int64_t>(random() % 7) * kBlock};
      const bool shrinks_memory = target.memory_bytes < now.memory_bytes;
      const int64_t half = (target.memory_bytes - 96 * kMiB) / 2;
      if (shrinks_memory) {
        ASSERT_EQ(Fill(half), absl::OkStatus());
      }
      (shrinks_memory ? shrinks : grows).push_back(Resize(limits, target));
      if (!shrinks_memory) {
        ASSERT_EQ(Fill(half), absl::OkStatus());
      }
      ASSERT_EQ(AttachAndDetachDisk(), absl::OkStatus()) << "cycle " << i;
      ASSERT_TRUE(vm_->alive()) << "cycle " << i;
      now = target;
    }
    ASSERT_FALSE(testing::Test::HasFailure());
    const int64_t pss_used = PssBytes();
    ASSERT_EQ(Fill(0), absl::OkStatus());
    Resize(limits, {1, kBoot});
    EXPECT_EQ(plugged_, 0);
    std::sort(shrinks.begin(), shrinks.end());
    std::sort(grows.begin(), grows.end());
    std::cout << cycles << " cycles: grow median " << grows[grows.size() / 2]
              << ", shrink median " << shrinks[shrinks.size() / 2] << ", max "
              << shrinks.back() << "; given back " << wanted_back_ - kept_
              << " of " << wanted_back_ << " bytes ("
              << 100.0 * (wanted_back_ - kept_) / wanted_back_
              << " %); PSS of QEMU at boot " << pss_before / kMiB
              << " MiB, in use " << pss_used / kMiB << " MiB, at last "
              << PssBytes() / kMiB << " MiB" << std::endl;
  }

  std::string directory_;
  std::unique_ptr<HotplugVm> vm_;
  int64_t plugged_ = 0;
  int64_t wanted_back_ = 0;
  int64_t kept_ = 0;
};

TEST_F(ResizeCyclesVmTest, TwoHundredRandomSizesKillNoQemuAndLoseNoMemory) {
  RunCycles(vm_->Limits(VcpuUnplug::kPark), kCycles);
  EXPECT_EQ(kept_, 0);
}

TEST_F(ResizeCyclesVmTest, RemovableDimmsComeAndGoWithHalfOfTheMemoryInUse) {
  RunCycles(vm_->DimmLimits(true), kCycles / 10);
}

}  // namespace
}  // namespace podvisor
