// Memory that a container filled with page cache goes back to the host, and a
// container reaches its own limit before the guest has no more. One real VM
// for each test.

#include <cstdint>
#include <iostream>
#include <memory>

#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "hotplug/filler_vm.h"
#include "hotplug/hotplug_vm.h"
#include "hotplug/vm_resizer.h"

namespace podvisor {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kGiB = int64_t{1} << 30;
constexpr int64_t kBoot = HotplugVm::kBootBytes;

absl::Time In(int seconds) { return absl::Now() + absl::Seconds(seconds); }

class GiveBackVmTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!HotplugVm::IsPossible()) {
      GTEST_SKIP() << "NOT TESTED: no " << kHotplugVmQemu
                   << " or no guest image";
    }
    auto filler = FillerVm::Start();
    ASSERT_TRUE(filler.ok()) << filler.status();
    filler_ = *std::move(filler);
  }

  void ExpectThatCacheComesBack(const VmLimits& limits) {
    VmResizer resizer = filler_->vm().Resizer(limits);
    auto outcome = resizer.Resize({1, kBoot + kGiB}, In(60));
    ASSERT_TRUE(outcome.ok()) << outcome.status();
    ASSERT_EQ(filler_->FillCache(kGiB + 100 * kMiB), absl::OkStatus());
    const int64_t free =
        filler_->vm().agent().Observe(In(10))->memory_free_bytes;
    const int64_t before = filler_->PssBytes().value();
    EXPECT_LT(free, kGiB / 4) << "not full of cache";

    const absl::Time begin = absl::Now();
    outcome = resizer.Resize({1, kBoot}, In(60));

    ASSERT_TRUE(outcome.ok()) << outcome.status();
    const absl::Duration took = absl::Now() - begin;
    const int64_t given_back = kGiB * 9 / 10;
    const int64_t after = filler_->SettledPssBytes(before - given_back).value();
    std::cout << "in " << took << ": Pss " << before / kMiB << " -> "
              << after / kMiB << " MiB;";
    for (const StepTiming& timing : outcome->timings) {
      std::cout << " " << DescribeStep(timing.step) << ": " << timing.duration
                << ";";
    }
    std::cout << std::endl;
    EXPECT_EQ(outcome->shortfall_bytes, 0);
    EXPECT_EQ(outcome->observed.hotplug_plugged_bytes, 0);
    EXPECT_LE(after, before - given_back);
  }

  std::unique_ptr<FillerVm> filler_;
};

TEST_F(GiveBackVmTest, PageCacheComesBackFromVirtioMem) {
  ExpectThatCacheComesBack(filler_->vm().Limits(VcpuUnplug::kPark));
}

TEST_F(GiveBackVmTest, PageCacheComesBackFromDimms) {
  ExpectThatCacheComesBack(filler_->vm().DimmLimits(/*unplug=*/true));
}

TEST_F(GiveBackVmTest, WhatIsNoLongerInUseComesBackAtTheNextTry) {
  VmResizer resizer =
      filler_->vm().Resizer(filler_->vm().Limits(VcpuUnplug::kPark));
  ASSERT_TRUE(resizer.Resize({1, kBoot + kGiB}, In(60)).ok());
  ASSERT_EQ(filler_->FillTmpfs(kGiB), absl::OkStatus());
  auto outcome = resizer.Resize({1, kBoot}, In(10));
  ASSERT_TRUE(outcome.ok()) << outcome.status();
  ASSERT_GT(outcome->shortfall_bytes, kGiB / 2) << "not in use";

  ASSERT_EQ(filler_->FillTmpfs(0), absl::OkStatus());
  outcome = resizer.Resize({1, kBoot}, In(20));

  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(outcome->shortfall_bytes, 0);
  EXPECT_EQ(outcome->observed.hotplug_plugged_bytes, 0);
}

TEST_F(GiveBackVmTest, AShrinkLeavesAFullGuestWhatItNeedsToLiveAndToGrow) {
  VmResizer resizer =
      filler_->vm().Resizer(filler_->vm().Limits(VcpuUnplug::kPark));
  ASSERT_TRUE(resizer.Resize({1, kBoot + kGiB}, In(60)).ok());
  ASSERT_EQ(filler_->FillTmpfs(kGiB), absl::OkStatus());

  auto outcome = resizer.Resize({1, kBoot}, In(10));

  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_GT(outcome->shortfall_bytes, kGiB / 2) << "not in use";
  EXPECT_GT(outcome->observed.guest_available_bytes, 50 * kMiB);

  const VmSize more = {2, kBoot + 2 * kGiB};
  outcome = resizer.Grow(outcome->observed, more, more, In(60));

  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(outcome->observed.vcpus_online, 2);
  EXPECT_GE(outcome->observed.hotplug_online_bytes, 2 * kGiB);
  // More than there was; not all of it, which the guest would run out at.
  EXPECT_EQ(filler_->FillTmpfs(kGiB + kGiB / 2), absl::OkStatus());
}

}  // namespace
}  // namespace podvisor
