#include "sandbox/size/accounting_guard.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr int64_t kMiB = int64_t{1} << 20;
constexpr int64_t kGiB = int64_t{1} << 30;

std::optional<ContainerResources> Memory(int64_t limit) {
  ContainerResources resources;
  resources.memory_limit_bytes = limit;
  return resources;
}

PodAccount Account(int64_t guest, int64_t vmm, int64_t limit,
                   int64_t overhead) {
  return {guest, vmm, limit, overhead};
}

TEST(VmmCostTest, FollowsTheMeasurements) {
  struct Case {
    VmSize size;
    Accelerator accelerator;
    int64_t bytes;
  };
  for (const Case& c : std::vector<Case>{
           {{1, 256 * kMiB}, Accelerator::kKvm, (32 + 4 + 2) * kMiB},
           {{4, 4 * kGiB}, Accelerator::kKvm, (32 + 16 + 32) * kMiB},
           {{1, 256 * kMiB}, Accelerator::kTcg, (1152 + 32 + 4 + 2) * kMiB},
       }) {
    EXPECT_EQ(VmmCostBytes(c.size, c.accelerator), c.bytes) << c.bytes / kMiB;
  }
}

TEST(PodAccountTest, ExcessIsWhatTheVmCanUseAboveLimitAndOverhead) {
  struct Case {
    PodAccount account;
    int64_t excess;
  };
  for (const Case& c : std::vector<Case>{
           {Account(kGiB, 100, 0, 0), 0},  // no limit: nothing to exceed
           {Account(kGiB, 100, 0, 50), 0},
           {Account(kGiB, 100, kGiB, 100), 0},
           {Account(kGiB, 100, kGiB, 99), 1},
           {Account(kGiB, 100, kGiB, 0), 100},
           {Account(kGiB, 100, kGiB + 100, 0), 0},
           {Account(kGiB, 100, 1, 0), kGiB + 99},
           {Account(int64_t{1} << 62, int64_t{1} << 62, int64_t{1} << 62,
                    int64_t{1} << 62),
            0},
       }) {
    EXPECT_EQ(c.account.excess_bytes(), c.excess);
  }
}

TEST(AccountForTest, TakesTheLimitsAndNothingElse) {
  std::optional<ContainerResources> limits = Memory(kGiB);
  limits->hugepage_limits = {{"2MB", kGiB}};
  limits->unified["memory.min"] = "4096";
  const VmSize size = {2, 512 * kMiB};

  const PodAccount account =
      AccountFor(limits, Memory(160 * kMiB), size, Accelerator::kKvm).value();

  EXPECT_EQ(account, Account(512 * kMiB, VmmCostBytes(size, Accelerator::kKvm),
                             kGiB, 160 * kMiB));
  ContainerResources unified;
  unified.unified["memory.max"] = "4096";
  EXPECT_EQ(
      AccountFor(unified, std::nullopt, size, Accelerator::kKvm)->limit_bytes,
      4096);
  unified.unified["memory.max"] = "max";
  EXPECT_EQ(
      AccountFor(unified, std::nullopt, size, Accelerator::kKvm)->limit_bytes,
      0);
  EXPECT_TRUE(absl::IsInvalidArgument(
      AccountFor(Memory(-1), std::nullopt, size, Accelerator::kKvm).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      AccountFor(std::nullopt, Memory(-1), size, Accelerator::kKvm).status()));
}

TEST(CheckAccountTest, RefusesWithAllFiguresAndWhatToChange) {
  const absl::Status status =
      CheckAccount(Account(300 << 20, 70 << 20, 200 << 20, (20 << 20) - 1), {});

  EXPECT_TRUE(absl::IsResourceExhausted(status));
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("can use 370 MiB"),
                    HasSubstr("guest 300 MiB, VMM 70 MiB"),
                    HasSubstr("limit 200 MiB, overhead 2"),
                    HasSubstr("overhead.podFixed by 151Mi"),
                    HasSubstr("guest_overhead_memory")));
}

TEST(CheckAccountTest, RefusesOnlyWhatMakesItWorse) {
  const PodAccount accepted = Account(300, 70, 200, 20);

  EXPECT_TRUE(CheckAccount(accepted, accepted).ok());
  EXPECT_TRUE(CheckAccount(Account(299, 70, 200, 20), accepted).ok());
  EXPECT_FALSE(CheckAccount(Account(301, 70, 200, 20), accepted).ok());
  EXPECT_FALSE(CheckAccount(Account(300, 70, 200, 19), accepted).ok());
  EXPECT_TRUE(CheckAccount(Account(300, 70, 0, 20), accepted).ok());
}

}  // namespace
}  // namespace podvisor
