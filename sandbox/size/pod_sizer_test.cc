// What the sizer says that the VM has: before, while and after a resize works
// or fails. With a fake QEMU and guest.

#include "sandbox/size/pod_sizer.h"

#include <functional>
#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "guestagent/client/fake_guest_agent.h"
#include "hotplug/fake_qemu.h"

namespace podvisor {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kBoot = 256 * kMiB;

// A guest in which the test can look around while a resize waits for it.
class WatchedGuest final : public GuestResources {
 public:
  explicit WatchedGuest(GuestResources* guest) : guest_(guest) {}

  absl::StatusOr<GuestSize> Observe(absl::Time deadline) override {
    return guest_->Observe(deadline);
  }
  absl::StatusOr<GuestSize> SetOnlineCpus(int count,
                                          absl::Time deadline) override {
    if (meanwhile) meanwhile();
    return guest_->SetOnlineCpus(count, deadline);
  }
  absl::StatusOr<GuestSize> AwaitMemoryAtLeast(int64_t bytes,
                                               absl::Time deadline) override {
    return guest_->AwaitMemoryAtLeast(bytes, deadline);
  }
  absl::StatusOr<GuestSize> AwaitMemoryAtMost(int64_t bytes,
                                              absl::Time deadline) override {
    return guest_->AwaitMemoryAtMost(bytes, deadline);
  }
  absl::StatusOr<GuestSize> ReclaimMemory(int64_t free_bytes,
                                          absl::Time deadline) override {
    return guest_->ReclaimMemory(free_bytes, deadline);
  }

  std::function<void()> meanwhile;

 private:
  GuestResources* const guest_;
};

class PodSizerTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(sizer_.Observe(Soon()).ok()); }

  absl::Time Soon() { return clock_.Now() + absl::Seconds(30); }
  static VmTarget Target(int vcpus, int64_t memory_bytes) {
    VmTarget target;
    target.size = {vcpus, memory_bytes};
    return target;
  }
  static VmLimits Limits() {
    VmLimits limits;
    limits.max_vcpus = 8;
    limits.boot_memory_bytes = kBoot;
    limits.max_memory_bytes = kBoot + 4096 * kMiB;
    return limits;
  }

  absl::Status Grow(const VmTarget& target) {
    return sizer_.Grow(target, target, Soon());
  }

  FakeClock clock_;
  PodMetrics metrics_;
  FakeGuestAgent guest_;
  FakeQemu qemu_{{}, &guest_, &clock_};
  std::unique_ptr<QmpClient> qmp_ = qemu_.Connect();
  WatchedGuest watched_{&guest_};
  PodSizer sizer_{PodId("pod"), qmp_.get(), &watched_,
                  &clock_,      &metrics_,  Limits()};
};

TEST_F(PodSizerTest, WhileTheGuestIsSlowTheSizesAreThoseOfNow) {
  VmSizes meanwhile;
  watched_.meanwhile = [&] {
    clock_.Advance(absl::Seconds(1));
    ASSERT_TRUE(sizer_.Observe(Soon()).ok());
    meanwhile = sizer_.sizes();
  };

  ASSERT_TRUE(Grow(Target(4, kBoot)).ok());

  EXPECT_EQ(meanwhile.plugged_vcpus, 4);
  EXPECT_EQ(meanwhile.online_vcpus, 1);
  EXPECT_EQ(meanwhile.observed_at, clock_.Now());
  EXPECT_EQ(sizer_.sizes().online_vcpus, 4);
}

TEST_F(PodSizerTest, AGuestThatNeverOnlinesIsShownWithWhatItKeptParked) {
  guest_.SetFaults({.cpu_never_onlines = true});

  const absl::Status grown = Grow(Target(4, kBoot));

  EXPECT_TRUE(absl::IsDeadlineExceeded(grown)) << grown;
  EXPECT_EQ(sizer_.sizes().plugged_vcpus, 4);
  EXPECT_EQ(sizer_.sizes().online_vcpus, 1);
  EXPECT_THAT(sizer_.last_error(), HasSubstr("guest online"));
}

TEST_F(PodSizerTest, MemoryThatCouldNotBePutBackIsShown) {
  guest_.SetFaults({.memory_never_arrives = true});
  EXPECT_FALSE(Grow(Target(1, kBoot + 1024 * kMiB)).ok());

  EXPECT_EQ(sizer_.sizes().plugged_memory_bytes,
            kBoot + qemu_.memory_plugged_bytes());
  EXPECT_EQ(sizer_.sizes().online_memory_bytes, kBoot);
}

TEST_F(PodSizerTest, AQemuThatRefusesLeavesTheSizesAndSaysWhy) {
  qemu_.SetFaults({.device_add_refused = true});

  const absl::Status grown = Grow(Target(2, kBoot + 512 * kMiB));

  EXPECT_TRUE(absl::IsResourceExhausted(grown)) << grown;
  EXPECT_EQ(sizer_.sizes().plugged_memory_bytes, kBoot);
  EXPECT_EQ(sizer_.sizes().plugged_vcpus, 1);
  EXPECT_THAT(sizer_.last_error(), HasSubstr("VM: "));
}

TEST_F(PodSizerTest, WhatCannotBeSeenAnyMoreKeepsTheTimeAtWhichItWasSo) {
  ASSERT_TRUE(Grow(Target(2, kBoot)).ok());
  const absl::Time seen = clock_.Now();
  clock_.Advance(absl::Minutes(1));
  qemu_.Die();

  EXPECT_TRUE(absl::IsUnavailable(Grow(Target(4, kBoot))));

  EXPECT_EQ(sizer_.sizes().online_vcpus, 2);
  EXPECT_EQ(sizer_.sizes().observed_at, seen);
  EXPECT_NE(sizer_.last_error(), "");
}

TEST_F(PodSizerTest, TheErrorOfAGrowStaysUntilOneWorks) {
  guest_.SetFaults({.cpu_never_onlines = true});
  EXPECT_FALSE(Grow(Target(4, kBoot)).ok());

  ASSERT_TRUE(sizer_.Settle(Target(1, kBoot), {1, kBoot}, true, Soon()).ok());
  EXPECT_THAT(sizer_.last_error(), HasSubstr("guest online"));

  guest_.SetFaults({});
  ASSERT_TRUE(Grow(Target(4, kBoot)).ok());
  EXPECT_EQ(sizer_.last_error(), "");
}

TEST_F(PodSizerTest, AShortfallIsOverOnceItIsGivenBackOrWantedAgain) {
  ASSERT_TRUE(Grow(Target(1, kBoot + 1024 * kMiB)).ok());
  guest_.SetFaults({.keeps_memory_bytes = guest_.size().memory_total_bytes});
  EXPECT_TRUE(absl::IsUnavailable(
      sizer_.Settle(Target(1, kBoot), {1, kBoot}, true, Soon())));
  EXPECT_EQ(sizer_.sizes().shortfall_bytes, 1024 * kMiB);

  ASSERT_TRUE(Grow(Target(1, kBoot + 768 * kMiB)).ok());
  EXPECT_EQ(sizer_.sizes().shortfall_bytes, 256 * kMiB);
  ASSERT_TRUE(Grow(Target(1, kBoot + 2048 * kMiB)).ok());
  EXPECT_EQ(sizer_.sizes().shortfall_bytes, 0);
}

TEST_F(PodSizerTest, MemoryThatNobodyAskedBackIsNoShortfall) {
  ASSERT_TRUE(Grow(Target(1, kBoot + 1024 * kMiB)).ok());

  ASSERT_TRUE(Grow(Target(1, kBoot)).ok());

  EXPECT_EQ(sizer_.sizes().plugged_memory_bytes, kBoot + 1024 * kMiB);
  EXPECT_EQ(sizer_.sizes().shortfall_bytes, 0);
}

}  // namespace
}  // namespace podvisor
