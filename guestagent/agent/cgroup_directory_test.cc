#include "guestagent/agent/cgroup_directory.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <fstream>
#include <string>

#include "base/file.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

// A plain directory stands in for the kernel's: what is written stays.
class CgroupDirectoryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/cgroupXXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    path_ = pattern;
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(path_).ok()); }

  void Put(const std::string& file, const std::string& text) {
    std::ofstream(path_ + "/" + file) << text;
  }
  std::string Get(const std::string& file) {
    return ReadFile(path_ + "/" + file).value_or("");
  }

  std::string path_;
};

TEST_F(CgroupDirectoryTest, UpdateWritesTheAskedFilesOnly) {
  for (const char* file : {"cpu.max", "cpu.weight", "memory.max", "pids.max"}) {
    Put(file, "");
  }
  agent::v1::LinuxResources resources;
  resources.set_cpu_quota_micros(20000);
  resources.set_cpu_period_micros(100000);
  resources.set_memory_limit_bytes(4096);
  ASSERT_TRUE(CgroupDirectory(path_).Update(resources).ok());
  EXPECT_EQ(Get("cpu.max"), "20000 100000");
  EXPECT_EQ(Get("memory.max"), "4096");
  EXPECT_EQ(Get("cpu.weight"), "");
  EXPECT_EQ(Get("pids.max"), "");
}

TEST_F(CgroupDirectoryTest, AnUpdateThatFailsHalfWayIsTakenBack) {
  Put("cpu.max", "50000 100000\n");
  Put("cpu.weight", "100\n");
  Put("memory.max", "8192\n");
  Put("pids.max", "max\n");
  agent::v1::LinuxResources resources;
  resources.set_cpu_quota_micros(20000);
  resources.set_cpu_shares(262144);
  resources.set_memory_limit_bytes(4096);
  (*resources.mutable_unified())["memory.high"] = "1";  // is not there

  EXPECT_EQ(CgroupDirectory(path_).Update(resources).code(),
            absl::StatusCode::kFailedPrecondition);

  EXPECT_EQ(Get("cpu.max"), "50000 100000\n");
  EXPECT_EQ(Get("cpu.weight").substr(0, 4), "100\n");
  EXPECT_EQ(Get("memory.max").substr(0, 4), "8192");
  EXPECT_EQ(Get("pids.max"), "max\n");
}

TEST_F(CgroupDirectoryTest, LimitBelowTheUsageIsNotWritten) {
  Put("memory.current", "8192\n");
  Put("memory.max", "x");
  Put("memory.high", "y");
  Put("memory.reclaim", "");
  agent::v1::LinuxResources resources;
  resources.set_memory_limit_bytes(4096);
  EXPECT_EQ(CgroupDirectory(path_).Update(resources).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Get("memory.max"), "x");
  EXPECT_EQ(Get("memory.reclaim")[0], '4');
}

TEST_F(CgroupDirectoryTest, MissingControllerIsNotAMissingContainer) {
  agent::v1::LinuxResources resources;
  resources.set_pids_limit(10);
  EXPECT_EQ(CgroupDirectory(path_).Update(resources).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(CgroupDirectory(path_ + "/none").Update(resources).code(),
            absl::StatusCode::kNotFound);
}

agent::v1::ReadCgroupRequest Files(const std::vector<std::string>& files) {
  agent::v1::ReadCgroupRequest request;
  for (const std::string& file : files) request.add_files(file);
  return request;
}

TEST_F(CgroupDirectoryTest, WhatItHasIsReadBack) {
  Put("cpu.max", "20000 50000\n");
  Put("cpu.weight", "39\n");
  Put("memory.max", "4096\n");
  Put("cpuset.cpus", "0-1\n");
  Put("memory.high", "max\n");
  Put("io.max", "8:0 rbps=1\n8:16 rbps=2\n");

  const auto read = CgroupDirectory(path_).ReadResources(
      Files({"memory.high", "io.max", "memory.low"}).files());

  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->resources().cpu_quota_micros(), 20000);
  EXPECT_EQ(read->resources().cpu_period_micros(), 50000);
  EXPECT_EQ(read->cpu_weight(), 39);
  EXPECT_EQ(read->resources().memory_limit_bytes(), 4096);
  EXPECT_EQ(read->resources().cpuset_cpus(), "0-1");
  // One has several lines, the other is not there.
  EXPECT_EQ(read->resources().unified().size(), 1u);
  EXPECT_EQ(read->resources().unified().at("memory.high"), "max");

  Put("cpu.max", "max 100000\n");
  Put("memory.max", "max\n");
  Put("cpuset.cpus", "\n");
  const auto unlimited =
      CgroupDirectory(path_).ReadResources(Files({}).files());
  ASSERT_TRUE(unlimited.ok()) << unlimited.status();
  EXPECT_EQ(unlimited->resources().cpu_quota_micros(), -1);
  EXPECT_EQ(unlimited->resources().memory_limit_bytes(), -1);
  EXPECT_EQ(unlimited->resources().cpuset_cpus(), "");
}

TEST_F(CgroupDirectoryTest, WhatAGuestDoesNotHaveIsLeftOutWhenItIsRead) {
  const auto read = CgroupDirectory(path_).ReadResources(Files({}).files());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->resources().cpu_quota_micros(), 0);
  EXPECT_EQ(read->cpu_weight(), 0);
  EXPECT_EQ(read->resources().memory_limit_bytes(), 0);
  EXPECT_EQ(CgroupDirectory(path_ + "/none")
                .ReadResources(Files({}).files())
                .status()
                .code(),
            absl::StatusCode::kNotFound);
}

TEST_F(CgroupDirectoryTest, OnlyFilesThatAContainerMayHaveAreRead) {
  for (const char* file : {"cgroup.procs", "../memory.max", "memory.", ""}) {
    EXPECT_EQ(CgroupDirectory(path_)
                  .ReadResources(Files({file}).files())
                  .status()
                  .code(),
              absl::StatusCode::kInvalidArgument)
        << file;
  }
}

TEST_F(CgroupDirectoryTest, OomKillsAreSeen) {
  const CgroupDirectory cgroup(path_);
  EXPECT_FALSE(cgroup.HadOomKill());
  Put("memory.events", "low 0\noom 4\noom_kill 0\n");
  EXPECT_FALSE(cgroup.HadOomKill());
  Put("memory.events", "low 0\noom 4\noom_kill 1\n");
  EXPECT_TRUE(cgroup.HadOomKill());
}

TEST_F(CgroupDirectoryTest, RemoveWaitsForTheProcessesUpToTheDeadline) {
  Put("cgroup.events", "populated 1\nfrozen 0\n");
  EXPECT_EQ(CgroupDirectory(path_).Remove(Deadline::Now()).code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST_F(CgroupDirectoryTest, RemoveTakesChildrenToo) {
  ASSERT_EQ(mkdir((path_ + "/a").c_str(), 0700), 0);
  ASSERT_EQ(mkdir((path_ + "/a/b").c_str(), 0700), 0);
  EXPECT_TRUE(CgroupDirectory(path_).Remove(Deadline::Now()).ok());
  EXPECT_TRUE(CgroupDirectory(path_).Remove(Deadline::Now()).ok());
  EXPECT_TRUE(CgroupDirectory(path_).KillAll().ok());
}

TEST_F(CgroupDirectoryTest, EndlessFilesAreNotRead) {
  Put("memory.stat", std::string(1 << 20, 'x'));
  EXPECT_EQ(CgroupDirectory(path_).Read("memory.stat"), "");
}

}  // namespace
}  // namespace podvisor
