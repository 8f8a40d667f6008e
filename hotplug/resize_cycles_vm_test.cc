// One real VM, resized at random 200 times with half of the memory in use that
// it has, and a disk attached after each time.

#include <algorithm>
#include <cstdint>
#include <iostream>
#include <memory>
#include <random>
#include <vector>

#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "gtest/gtest.h"
#include "hotplug/device_removal.h"
#include "hotplug/filler_vm.h"
#include "hotplug/hotplug_vm.h"
#include "hotplug/resize_plan.h"
#include "hotplug/vm_resizer.h"

namespace podvisor {
namespace {

constexpr int kCycles = 200;
constexpr uint64_t kSeed = 20261124;
constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kBoot = HotplugVm::kBootBytes;
constexpr int64_t kBlock = 128 * kMiB;
constexpr int64_t kMostBlocks = 6;
// What the guest's kernel and agent need, and what no tmpfs can have.
constexpr int64_t kKernel = 96 * kMiB;
// What a shrink leaves available besides, and what varies.
constexpr int64_t kSpare = kRoomToMoveBytes + 32 * kMiB;

absl::Time In(int seconds) { return absl::Now() + absl::Seconds(seconds); }

class ResizeCyclesVmTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!HotplugVm::IsPossible()) {
      GTEST_SKIP() << "NOT TESTED: no " << kHotplugVmQemu
                   << " or no guest image";
    }
    auto filler = FillerVm::Start();
    ASSERT_TRUE(filler.ok()) << filler.status();
    filler_ = *std::move(filler);
    vm_ = &filler_->vm();
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

  int64_t PssBytes() const {
    const auto bytes = filler_->PssBytes();
    EXPECT_TRUE(bytes.ok()) << bytes.status();
    return bytes.value_or(0);
  }

  // Resizes, checks the size against the guest, and returns how long it took.
  absl::Duration Resize(const VmLimits& limits, const VmSize& target) {
    VmResizer resizer = vm_->Resizer(limits);
    const absl::Time begin = absl::Now();
    const auto outcome = resizer.Resize(target, In(60));
    const absl::Duration took = absl::Now() - begin;
    EXPECT_TRUE(outcome.ok()) << outcome.status();
    if (!outcome.ok()) return took;
    EXPECT_TRUE(outcome->missing.ok()) << outcome->missing;
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
    const int64_t pss_before = PssBytes();
    for (int i = 0; i < cycles && !testing::Test::HasFailure(); ++i) {
      const int64_t present = kBoot + plugged_;
      const int64_t in_use = (present - kKernel) / 2;
      ASSERT_EQ(filler_->FillTmpfs(in_use), absl::OkStatus()) << "cycle " << i;
      // Any size that holds what is in use.
      const int64_t least = std::max<int64_t>(
          0, (in_use + kKernel + kSpare - kBoot + kBlock - 1) / kBlock);
      const int64_t blocks =
          least + static_cast<int64_t>(random() % (kMostBlocks + 1 - least));
      const VmSize target = {1 + static_cast<int>(random() % 4),
                             kBoot + blocks * kBlock};
      const bool shrinks_memory = target.memory_bytes < present;
      (shrinks_memory ? shrinks : grows).push_back(Resize(limits, target));
      ASSERT_EQ(AttachAndDetachDisk(), absl::OkStatus()) << "cycle " << i;
      ASSERT_TRUE(vm_->alive()) << "cycle " << i;
    }
    ASSERT_FALSE(testing::Test::HasFailure());
    const int64_t pss_used = PssBytes();
    ASSERT_EQ(filler_->FillTmpfs(0), absl::OkStatus());
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

  std::unique_ptr<FillerVm> filler_;
  HotplugVm* vm_ = nullptr;  // of filler_
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
