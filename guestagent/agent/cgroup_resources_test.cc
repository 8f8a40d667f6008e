#include "guestagent/agent/cgroup_resources.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(CgroupResourcesTest, CpuMaxIsAQuotaAndItsPeriodOrNothing) {
  const struct {
    const char* text;
    int64_t quota, period;
  } kCases[] = {{"max 100000\n", -1, 100000},
                {"20000 50000\n", 20000, 50000},
                {"", 0, 0},
                {"20000\n", 0, 0},
                {"x 100000\n", 0, 0}};
  for (const auto& test : kCases) {
    agent::v1::LinuxResources resources;
    ParseCpuMax(test.text, &resources);
    EXPECT_EQ(resources.cpu_quota_micros(), test.quota) << test.text;
    EXPECT_EQ(resources.cpu_period_micros(), test.period) << test.text;
  }
}

TEST(CgroupResourcesTest, ZeroFieldsStayAsTheyAre) {
  EXPECT_THAT(*PlanCgroupUpdate({}, "100 100000\n"), IsEmpty());
}

TEST(CgroupResourcesTest, EveryFieldBecomesItsFile) {
  agent::v1::LinuxResources resources;
  resources.set_cpu_quota_micros(50000);
  resources.set_cpu_period_micros(100000);
  resources.set_cpu_shares(1024);
  resources.set_cpuset_cpus("0-1,3");
  resources.set_pids_limit(-1);
  (*resources.mutable_unified())["memory.high"] = "max";
  (*resources.mutable_unified())["hugetlb.2MB.max"] = "0";
  EXPECT_THAT(*PlanCgroupUpdate(resources, ""),
              ElementsAre(CgroupWrite{"cpu.weight", "39"},
                          CgroupWrite{"cpu.max", "50000 100000"},
                          CgroupWrite{"cpuset.cpus", "0-1,3"},
                          CgroupWrite{"pids.max", "max"},
                          CgroupWrite{"hugetlb.2MB.max", "0"},
                          CgroupWrite{"memory.high", "max"}));
}

TEST(CgroupResourcesTest, QuotaAndPeriodChangeAlone) {
  agent::v1::LinuxResources quota;
  quota.set_cpu_quota_micros(-1);
  EXPECT_THAT(*PlanCgroupUpdate(quota, "1000 9000"),
              ElementsAre(CgroupWrite{"cpu.max", "max"}));
  agent::v1::LinuxResources period;
  period.set_cpu_period_micros(20000);
  EXPECT_THAT(*PlanCgroupUpdate(period, "1000 9000"),
              ElementsAre(CgroupWrite{"cpu.max", "1000 20000"}));
}

TEST(CgroupResourcesTest, RefusesKeysThatLeaveTheContainersOwnFiles) {
  for (const char* key : {"cgroup.procs", "cgroup.kill", "../memory.max",
                          "memory.max/..", "memory/max", "", ".", "memory.",
                          "devices.allow", "memory.a b", "memory.max\n"}) {
    agent::v1::LinuxResources resources;
    (*resources.mutable_unified())[key] = "1";
    EXPECT_EQ(CheckResources(resources).code(),
              absl::StatusCode::kInvalidArgument)
        << key;
  }
}

TEST(CgroupResourcesTest, RefusesImpossibleNumbers) {
  std::vector<agent::v1::LinuxResources> cases(7);
  cases[0].set_cpu_quota_micros(-2);
  cases[1].set_cpu_quota_micros(10);
  cases[2].set_cpu_period_micros(10);
  cases[3].set_cpu_shares(-1);
  cases[4].set_memory_limit_bytes(-2);
  cases[5].set_cpuset_cpus("0 1");
  cases[6].set_pids_limit(INT64_MIN);
  for (size_t i = 0; i < cases.size(); ++i) {
    EXPECT_EQ(PlanCgroupUpdate(cases[i], "").status().code(),
              absl::StatusCode::kInvalidArgument)
        << i;
  }
}

}  // namespace
}  // namespace podvisor
