// What VmResizer does about page cache when it shrinks a VM.

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "guestagent/client/fake_guest_agent.h"
#include "hotplug/fake_qemu.h"
#include "hotplug/vm_resizer.h"

namespace podvisor {
namespace {

using ::testing::Contains;
using ::testing::Not;
using ::testing::StartsWith;

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kGiB = int64_t{1} << 30;
constexpr int64_t kBoot = 256 * kMiB;

class CacheReclaimTest : public testing::Test {
 protected:
  CacheReclaimTest() {
    limits_.max_vcpus = 8;
    limits_.boot_memory_bytes = kBoot;
    limits_.max_memory_bytes = kBoot + 4 * kGiB;
  }

  void ResizeOrDie(int64_t memory_bytes) {
    VmResizer resizer(qmp_.get(), &guest_, &clock_, limits_, {});
    const auto outcome =
        resizer.Resize({1, memory_bytes}, clock_.Now() + absl::Seconds(30));
    ASSERT_TRUE(outcome.ok()) << outcome.status();
    ASSERT_EQ(outcome->shortfall_bytes, 0);
  }

  FakeClock clock_;
  FakeGuestAgent guest_;
  FakeQemu qemu_{{}, &guest_, &clock_};
  const std::unique_ptr<QmpClient> qmp_ = qemu_.Connect();
  VmLimits limits_;
  const std::string reclaim_ =
      absl::StrCat("ReclaimMemory ", kGiB + kRoomToMoveBytes);
};

TEST_F(CacheReclaimTest, CacheIsDroppedBeforeMemoryIsAskedBack) {
  ResizeOrDie(kBoot + kGiB);
  guest_.SetMemoryFree(100 * kMiB);

  ResizeOrDie(kBoot);

  const std::vector<std::string> calls = guest_.calls();
  EXPECT_EQ(calls[calls.size() - 2], reclaim_);
  EXPECT_THAT(calls.back(), StartsWith("AwaitMemoryAtMost"));
}

TEST_F(CacheReclaimTest, AGuestWithEnoughFreeKeepsItsCache) {
  ResizeOrDie(kBoot + kGiB);

  ResizeOrDie(kBoot);

  EXPECT_THAT(guest_.calls(), Not(Contains(reclaim_)));
}

TEST_F(CacheReclaimTest, AReclaimThatFailsOrFreesNothingFailsNoShrink) {
  for (const GuestFaults& faults : {GuestFaults{.reclaims_nothing = true},
                                    GuestFaults{.reclaim_hangs = true}}) {
    guest_.SetFaults({});
    ResizeOrDie(kBoot + kGiB);
    guest_.SetMemoryFree(100 * kMiB);
    guest_.SetFaults(faults);

    ResizeOrDie(kBoot);

    EXPECT_THAT(guest_.calls(), Contains(reclaim_));
    EXPECT_EQ(qemu_.memory_plugged_bytes(), 0);
  }
}

}  // namespace
}  // namespace podvisor
