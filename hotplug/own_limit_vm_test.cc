// With the memory that TargetFor() gives, a container can fill its own limit
// and is then stopped by its own cgroup: the guest has more, and lives on.

#include <cstdint>
#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gtest/gtest.h"
#include "hotplug/filler_vm.h"
#include "hotplug/hotplug_vm.h"
#include "hotplug/pod_demand.h"
#include "hotplug/vm_resizer.h"

namespace podvisor {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

absl::Time In(int seconds) { return absl::Now() + absl::Seconds(seconds); }

struct OwnLimitCase {
  int64_t base_mib;
  int64_t limit_mib;
  bool tmpfs;
};

// A container of this limit takes memory until it is killed, in a VM that is
// sized for it with so much `overhead_mib`.
class OwnLimitVmTest : public testing::TestWithParam<OwnLimitCase> {
 protected:
  void SetUp() override {
    if (!HotplugVm::IsPossible()) {
      GTEST_SKIP() << "NOT TESTED: no " << kHotplugVmQemu
                   << " or no guest image";
    }
  }
  EndlessFill FillWithoutEnd(const OwnLimitCase& c, int64_t overhead_mib) {
    const int64_t limit = c.limit_mib * kMiB;
    auto filler = FillerVm::Start(
        {.boot_bytes = c.base_mib * kMiB, .memory_limit_bytes = limit});
    EXPECT_TRUE(filler.ok()) << filler.status();
    if (!filler.ok()) return {};
    filler_ = *std::move(filler);
    VmLimits limits = filler_->vm().Limits(VcpuUnplug::kPark);
    limits.memory_block_bytes = 4 * kMiB;  // what is added is what was computed
    SizingRules rules;
    rules.base_memory_bytes = c.base_mib * kMiB;
    rules.guest_overhead_memory_bytes = overhead_mib * kMiB;
    const auto target = TargetFor({0, limit}, rules, limits);
    EXPECT_TRUE(target.ok()) << target.status();
    VmResizer resizer = filler_->vm().Resizer(limits);
    EXPECT_TRUE(resizer.Resize(target->size, In(60)).ok());
    const auto end = filler_->FillWithoutEnd(c.tmpfs);
    EXPECT_TRUE(end.ok()) << end.status();
    return end.value_or(EndlessFill());
  }

  std::unique_ptr<FillerVm> filler_;
};

TEST_P(OwnLimitVmTest, IsReachedBeforeTheGuestHasNoMore) {
  const EndlessFill end = FillWithoutEnd(GetParam(), kDefaultGuestOverheadMib);

  EXPECT_EQ(end.signal, 9);
  EXPECT_TRUE(end.by_own_cgroup);
  EXPECT_GT(end.peak_bytes, GetParam().limit_mib * kMiB - kMiB);
  const auto guest = filler_->vm().agent().Observe(In(10));
  ASSERT_TRUE(guest.ok()) << guest.status();
  EXPECT_EQ(filler_->FillTmpfs(kMiB), absl::OkStatus());
}

INSTANTIATE_TEST_SUITE_P(Sizes, OwnLimitVmTest,
                         testing::Values(OwnLimitCase{256, 256, false},
                                         OwnLimitCase{256, 1024, true},
                                         OwnLimitCase{256, 4096, false},
                                         OwnLimitCase{1024, 256, true},
                                         OwnLimitCase{1024, 1024, false},
                                         OwnLimitCase{1024, 4096, true}),
                         [](const testing::TestParamInfo<OwnLimitCase>& info) {
                           return absl::StrCat(
                               info.param.limit_mib, "MiBOnABaseOf",
                               info.param.base_mib,
                               info.param.tmpfs ? "AsTmpfs"
                                                : "AsAnonymousMemory");
                         });

// The default is the least, and 20 MiB: with a third less of it the guest is
// the first to have no more.
using TooLittleOverheadVmTest = OwnLimitVmTest;

TEST_P(TooLittleOverheadVmTest, LetsTheGuestRunOutFirst) {
  const EndlessFill end = FillWithoutEnd(GetParam(), 96);

  EXPECT_EQ(end.signal, 9);
  EXPECT_FALSE(end.by_own_cgroup);
  EXPECT_LT(end.peak_bytes, GetParam().limit_mib * kMiB);
}

INSTANTIATE_TEST_SUITE_P(ADefaultBase, TooLittleOverheadVmTest,
                         testing::Values(OwnLimitCase{1024, 1024, false}));

}  // namespace
}  // namespace podvisor
