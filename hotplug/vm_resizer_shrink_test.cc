// What a guest keeps of a shrink, against a fake QEMU with its fake guest.

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "hotplug/vm_resizer.h"
#include "hotplug/vm_resizer_fixture.h"

namespace podvisor {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

using VmResizerShrinkTest = VmResizerFixture;

TEST_F(VmResizerShrinkTest,
       AShrinkThatGivesBackLessIsAShortfallAndCanBeRetried) {
  ResizeOrDie({1, kBoot + kGiB});
  const int64_t boot_total = guest_.size().memory_total_at_boot_bytes;
  guest_.SetFaults({.keeps_memory_bytes = boot_total + 300 * kMiB});

  const auto outcome = Resize({1, kBoot});

  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(outcome->shortfall_bytes, 300 * kMiB);
  EXPECT_EQ(outcome->observed.hotplug_plugged_bytes, 300 * kMiB);
  EXPECT_EQ(outcome->observed.hotplug_requested_bytes, 0);

  guest_.SetFaults({});
  ResizeOrDie({1, kBoot});
  EXPECT_EQ(qemu_.memory_plugged_bytes(), 0);
}

// Whoever waits until the last moment still looks, and does not take back what
// the guest is about to do.
TEST_F(VmResizerShrinkTest, AShrinkThatTakesAllItsTimeIsAShortfallAndGoesOn) {
  FakeClock clock;
  FakeGuestOptions options;
  options.clock = &clock;
  FakeGuestAgent guest(options);
  FakeQemu qemu({}, &guest, &clock);
  const std::unique_ptr<QmpClient> qmp = qemu.Connect();
  VmResizer resizer(qmp.get(), &guest, &clock, Limits(VcpuUnplug::kPark), {});
  const auto in_a_moment = [&] { return clock.Now() + absl::Seconds(1); };
  ASSERT_TRUE(resizer.Resize({1, kBoot + kGiB}, in_a_moment()).ok());
  guest.SetFaults({.keeps_memory_bytes = guest.size().memory_total_bytes});

  const auto outcome = resizer.Resize({1, kBoot}, in_a_moment());

  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(outcome->shortfall_bytes, kGiB);
  EXPECT_EQ(qemu.memory_requested_bytes(), 0);
}

// A guest that gives back a block in each wait for it.
class GivingGuest final : public GuestResources {
 public:
  GivingGuest(FakeGuestAgent* guest, FakeQemu* qemu)
      : guest_(*guest), qemu_(*qemu) {}

  absl::StatusOr<GuestSize> Observe(absl::Time deadline) override {
    return guest_.Observe(deadline);
  }
  absl::StatusOr<GuestSize> SetOnlineCpus(int count,
                                          absl::Time deadline) override {
    return guest_.SetOnlineCpus(count, deadline);
  }
  absl::StatusOr<GuestSize> AwaitMemoryAtLeast(int64_t total_bytes,
                                               absl::Time deadline) override {
    return guest_.AwaitMemoryAtLeast(total_bytes, deadline);
  }
  absl::StatusOr<GuestSize> AwaitMemoryAtMost(int64_t total_bytes,
                                              absl::Time deadline) override {
    guest_.SetFaults(
        {.keeps_memory_bytes = guest_.size().memory_total_bytes - 128 * kMiB});
    qemu_.GuestTriesAgain();
    return guest_.AwaitMemoryAtMost(total_bytes, deadline);
  }
  absl::StatusOr<GuestSize> ReclaimMemory(int64_t free_bytes,
                                          absl::Time deadline) override {
    return guest_.ReclaimMemory(free_bytes, deadline);
  }

 private:
  FakeGuestAgent& guest_;
  FakeQemu& qemu_;
};

TEST_F(VmResizerShrinkTest, AGuestThatGivesBackIsNotDisturbed) {
  ResizeOrDie({1, kBoot + kGiB});
  guest_.SetFaults({.keeps_memory_bytes = guest_.size().memory_total_bytes});
  const std::unique_ptr<QmpClient> qmp = qemu_.Connect();
  GivingGuest guest(&guest_, &qemu_);
  VmResizer resizer(qmp.get(), &guest, &clock_, limits_, {});
  const size_t before = Changes().size();

  // Also over several runs, as the daemon makes them.
  absl::StatusOr<ResizeOutcome> outcome;
  for (int run = 0; run < 4; ++run) {
    outcome = resizer.Resize({1, kBoot}, clock_.Now() + absl::Seconds(1));
    ASSERT_TRUE(outcome.ok()) << outcome.status();
  }

  EXPECT_EQ(outcome->shortfall_bytes, 0);
  EXPECT_EQ(Changes().size(), before + 1);
}

TEST_F(VmResizerShrinkTest, AGuestThatStandsStillIsAskedOnceMoreInEachRun) {
  ResizeOrDie({1, kBoot + kGiB});
  guest_.SetFaults({.keeps_memory_bytes = guest_.size().memory_total_bytes});
  size_t before = Changes().size();

  for (const size_t asked : {3, 2}) {
    ASSERT_TRUE(Resize({1, kBoot}).ok());
    EXPECT_EQ(Changes().size(), before + asked);
    before = Changes().size();
  }
  EXPECT_EQ(qemu_.memory_requested_bytes(), 0);
}

TEST_F(VmResizerShrinkTest, AShrinkKeepsWhatTheGuestCannotSpareUntilItCan) {
  for (const bool dimms : {false, true}) {
    if (dimms) UseDimms(/*unplug=*/true);
    ResizeOrDie({1, kBoot + kGiB});
    guest_.SetMemoryAvailable(100 * kMiB);

    const auto outcome = Resize({1, kBoot});

    ASSERT_TRUE(outcome.ok()) << outcome.status();
    EXPECT_EQ(outcome->shortfall_bytes, kGiB);
    EXPECT_EQ(outcome->observed.hotplug_online_bytes, kGiB);
    guest_.SetMemoryAvailable(kGiB + 100 * kMiB);
    ResizeOrDie({1, kBoot});
  }
}

TEST_F(VmResizerShrinkTest, AVcpuThatTheGuestKeepsIsReportedAndStaysCounted) {
  UseDeviceRemoval();
  ResizeOrDie({4, kBoot + kGiB});
  for (const QemuFaults& faults : {QemuFaults{.guest_ignores_unplug = true},
                                   QemuFaults{.guest_refuses_unplug = true}}) {
    qemu_.SetFaults(faults);

    const auto outcome = Resize({1, kBoot});

    ASSERT_TRUE(outcome.ok()) << outcome.status();
    EXPECT_EQ(outcome->shortfall_vcpus, 3);
    EXPECT_EQ(outcome->observed.vcpus_plugged, 4);
    EXPECT_EQ(outcome->observed.vcpus_online, 1);
    // It did not cost the memory its turn.
    EXPECT_EQ(outcome->shortfall_bytes, 0);
    EXPECT_EQ(outcome->observed.hotplug_plugged_bytes, 0);
  }
}

TEST_F(VmResizerShrinkTest, NeverPullsAVcpuThatTheGuestStillUses) {
  UseDeviceRemoval();
  ResizeOrDie({4, kBoot});
  guest_.SetFaults({.cpu_never_offlines = true});

  const auto outcome = Resize({1, kBoot});

  ASSERT_TRUE(outcome.ok()) << outcome.status();
  EXPECT_EQ(outcome->shortfall_vcpus, 3);
  EXPECT_THAT(Changes(), Not(Contains(StartsWith("device_del"))));
}

}  // namespace
}  // namespace podvisor
