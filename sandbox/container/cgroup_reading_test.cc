#include "sandbox/container/cgroup_reading.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr CpusetMode kPin = CpusetMode::kPin;
constexpr int64_t kMiB = int64_t{1} << 20;

ContainerResources Had() {
  ContainerResources had;
  had.cpu_quota = 50'000;
  had.cpu_shares = 512;
  had.memory_limit_bytes = 256 * kMiB;
  had.oom_score_adj = 900;
  had.cpuset_cpus = "1";
  had.hugepage_limits = {{"2MB", 0}};
  had.unified = {{"memory.high", "1000000"}, {"memory.low", "7"}};
  return had;
}

ContainerResources Tried() {
  ContainerResources tried = Had();
  tried.cpu_quota = 100'000;
  tried.cpu_period = 50'000;
  tried.cpu_shares = 1024;
  tried.memory_limit_bytes = 512 * kMiB;
  tried.memory_swap_limit_bytes = 600 * kMiB;
  tried.hugepage_limits = {{"2MB", 4 * kMiB + 1}};
  tried.unified = {
      {"memory.high", "2000000"}, {"memory.low", "7"}, {"memory.min", "4096"}};
  return tried;
}

// A guest that has these, as its kernel shows them.
agent::v1::ReadCgroupResponse Has(int64_t quota, int64_t period, int64_t weight,
                                  int64_t memory) {
  agent::v1::ReadCgroupResponse has;
  has.mutable_resources()->set_cpu_quota_micros(quota);
  has.mutable_resources()->set_cpu_period_micros(period);
  has.set_cpu_weight(weight);
  has.mutable_resources()->set_memory_limit_bytes(memory);
  return has;
}
void AddFile(agent::v1::ReadCgroupResponse* has, const std::string& file,
             const std::string& value) {
  (*has->mutable_resources()->mutable_unified())[file] = value;
}

TEST(CgroupReadingTest, OnlyTheFilesThatDifferAreAskedFor) {
  EXPECT_THAT(FilesToRead(Had(), Had(), kPin), IsEmpty());
  EXPECT_THAT(FilesToRead(Had(), Tried(), kPin),
              ElementsAre("hugetlb.2MB.max", "hugetlb.2MB.rsvd.max",
                          "memory.high", "memory.min", "memory.swap.max"));
}

TEST(CgroupReadingTest, AGuestThatHasEitherIsShownInItsWords) {
  auto had = Has(50'000, 100'000, 20, 256 * kMiB);
  AddFile(&had, "hugetlb.2MB.max", "0");
  AddFile(&had, "memory.high", "999424");  // the kernel's whole pages
  AddFile(&had, "memory.min", "0");
  EXPECT_EQ(ResourcesAsRead(Had(), Tried(), had, kPin), Had());

  auto tried = Has(100'000, 50'000, 39, 512 * kMiB);
  AddFile(&tried, "hugetlb.2MB.max", "4194304");
  AddFile(&tried, "memory.high", "1998848");
  AddFile(&tried, "memory.min", "4096");
  AddFile(&tried, "memory.swap.max", "92274688");
  EXPECT_EQ(ResourcesAsRead(Had(), Tried(), tried, kPin), Tried());
}

TEST(CgroupReadingTest, OneThatHasSomeOfEachIsShownSo) {
  auto has = Has(50'000, 100'000, 39, 512 * kMiB);
  AddFile(&has, "memory.high", "999424");

  const ContainerResources seen = ResourcesAsRead(Had(), Tried(), has, kPin);

  EXPECT_EQ(seen.cpu_quota, 50'000);
  EXPECT_EQ(seen.cpu_shares, 1024);
  EXPECT_EQ(seen.memory_limit_bytes, 512 * kMiB);
  EXPECT_EQ(seen.unified.at("memory.high"), "1000000");
  EXPECT_FALSE(seen.unified.contains("memory.min")) << "was not told";
  EXPECT_EQ(seen.oom_score_adj, 900);
}

TEST(CgroupReadingTest, OneThatHasNeitherIsShownInTheKernelsWords) {
  auto has = Has(-1, 20'000, 100, -1);
  AddFile(&has, "memory.high", "max");
  AddFile(&has, "memory.min", "8192");
  AddFile(&has, "hugetlb.2MB.max", "2097152");

  const ContainerResources seen = ResourcesAsRead(Had(), Tried(), has, kPin);

  EXPECT_EQ(seen.cpu_quota, -1);
  EXPECT_EQ(seen.cpu_period, 20'000);
  EXPECT_EQ(seen.cpu_shares, 2598);
  EXPECT_EQ(seen.memory_limit_bytes, -1);
  EXPECT_FALSE(seen.unified.contains("memory.high"));
  EXPECT_EQ(seen.unified.at("memory.min"), "8192");
  EXPECT_EQ(seen.hugepage_limits.at("2MB"), 2 * kMiB);
}

TEST(CgroupReadingTest, NoLimitIsWhatWhoeverGaveNoneAskedFor) {
  ContainerResources none;
  EXPECT_EQ(ResourcesAsRead(none, Tried(), Has(-1, 100'000, 100, -1), kPin)
                .memory_limit_bytes,
            0);
  ContainerResources file;
  file.unified = {{"memory.max", "1048576"}};
  EXPECT_EQ(
      ResourcesAsRead(none, file, Has(-1, 100'000, 100, kMiB), kPin).unified,
      file.unified);
}

TEST(CgroupReadingTest, AGuestThatTellsNothingLeavesOnlyWhatBothHave) {
  ContainerResources sure;
  sure.oom_score_adj = 900;
  sure.cpuset_cpus = "1";
  sure.unified = {{"memory.low", "7"}};
  EXPECT_EQ(ResourcesAsRead(Had(), Tried(), {}, kPin), sure);
}

TEST(CgroupReadingTest, CpusOfTheGuestAreReadWhereTheyAreMeant) {
  ContainerResources other = Had();
  other.cpuset_cpus = "2,3";
  auto has = Has(50'000, 100'000, 20, 256 * kMiB);
  has.mutable_resources()->set_cpuset_cpus("2-3");

  EXPECT_EQ(ResourcesAsRead(Had(), other, has, kPin).cpuset_cpus, "");
  EXPECT_EQ(ResourcesAsRead(Had(), other, has, CpusetMode::kGuest).cpuset_cpus,
            "2,3");
  has.mutable_resources()->set_cpuset_cpus("0");
  EXPECT_EQ(ResourcesAsRead(Had(), other, has, CpusetMode::kGuest).cpuset_cpus,
            "0");
}

}  // namespace
}  // namespace podvisor
