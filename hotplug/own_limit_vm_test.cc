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

class OwnLimitVmTest : public testing::TestWithParam<OwnLimitCase> {};

TEST_P(OwnLimitVmTest, IsReachedBeforeTheGuestHasNoMore) {
  if (!HotplugVm::IsPossible()) {
    GTEST_SKIP() << "NOT TESTED: no " << kHotplugVmQemu << " or no guest image";
  }
  const auto [base_mib, limit_mib, tmpfs] = GetParam();
  const int64_t limit = limit_mib * kMiB;
  auto filler = FillerVm::Start(
      {.boot_bytes = base_mib * kMiB, .memory_limit_bytes = limit});
  ASSERT_TRUE(filler.ok()) << filler.status();
  HotplugVm& vm = (*filler)->vm();
  VmLimits limits = vm.Limits(VcpuUnplug::kPark);
  limits.memory_block_bytes = 4 * kMiB;  // what is added is what was computed
  SizingRules rules;
  rules.base_memory_bytes = base_mib * kMiB;
  rules.guest_overhead_memory_bytes = kDefaultGuestOverheadMib * kMiB;
  const auto target = TargetFor({0, limit}, rules, limits);
  ASSERT_TRUE(target.ok()) << target.status();
  VmResizer resizer = vm.Resizer(limits);
  ASSERT_TRUE(resizer.Resize(target->size, In(60)).ok());

  const auto end = (*filler)->FillWithoutEnd(tmpfs);

  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(end->signal, 9);
  EXPECT_TRUE(end->by_own_cgroup);
  EXPECT_GT(end->peak_bytes, limit - kMiB);
  const auto guest = vm.agent().Observe(In(10));
  ASSERT_TRUE(guest.ok()) << guest.status();
  EXPECT_EQ((*filler)->FillTmpfs(kMiB), absl::OkStatus());
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

}  // namespace
}  // namespace podvisor
