#include "guestagent/agent/container_stats.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

// Directories that play /sys/fs/cgroup/..., /proc and /sys.
class ContainerStatsTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/statsXXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    for (const char* directory :
         {"/cgroup", "/proc", "/proc/net", "/block", "/huge",
          "/huge/hugepages-2048kB", "/huge/hugepages-1048576kB"}) {
      ASSERT_EQ(mkdir((root_ + directory).c_str(), 0755), 0);
    }
    Put("/huge/hugepages-2048kB/nr_overcommit_hugepages", "64\n");
    Put("/huge/hugepages-1048576kB/nr_overcommit_hugepages", "0\n");
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(root_).ok()); }

  void Put(const std::string& file, const std::string& text) {
    std::ofstream(root_ + file) << text;
  }
  void PutProcess(int process, int sockets, int files) {
    const std::string directory = absl::StrCat(root_, "/proc/", process);
    ASSERT_EQ(mkdir(directory.c_str(), 0755), 0);
    ASSERT_EQ(mkdir((directory + "/fd").c_str(), 0755), 0);
    for (int i = 0; i < sockets + files; ++i) {
      ASSERT_EQ(symlink(i < sockets ? "socket:[1]" : "/x",
                        absl::StrCat(directory, "/fd/", i).c_str()),
                0);
    }
  }
  StatsReader Reader() {
    return StatsReader({.proc = root_ + "/proc",
                        .block_devices = root_ + "/block",
                        .huge_pages = root_ + "/huge"});
  }
  agent::v1::ContainerStats Read(pid_t first_process = 0) {
    agent::v1::ContainerStats stats;
    Reader().Read(CgroupDirectory(root_ + "/cgroup"), first_process,
                  Deadline::Never(), &stats);
    return stats;
  }

  std::string root_;
};

TEST_F(ContainerStatsTest, AnEmptyCgroupTellsNothing) {
  const agent::v1::ContainerStats stats = Read();
  EXPECT_EQ(stats.ByteSizeLong(), 0u) << stats.SerializeAsString();
}

TEST_F(ContainerStatsTest, TheFilesOfACgroupAreRead) {
  Put("/cgroup/cpu.stat",
      "usage_usec 3\nuser_usec 2\nsystem_usec 1\nnr_periods 8\n"
      "nr_throttled 4\nthrottled_usec 9\n");
  Put("/cgroup/cpu.max", "20000 100000\n");
  Put("/cgroup/memory.stat", "file 10\nkernel 11\nfile_mapped 12\n");
  Put("/cgroup/memory.peak", "13\n");
  Put("/cgroup/memory.low", "0\n");
  Put("/cgroup/memory.swap.current", "0\n");
  Put("/cgroup/memory.swap.max", "max\n");
  Put("/cgroup/memory.events", "low 0\nhigh 0\nmax 14\noom 2\noom_kill 1\n");
  Put("/cgroup/pids.max", "15\n");
  Put("/cgroup/io.pressure",
      "some avg10=1.00 avg60=0.00 avg300=0.00 total=16\n"
      "full avg10=0.00 avg60=0.00 avg300=0.00 total=17\n");
  Put("/cgroup/hugetlb.2MB.current", "2097152\n");
  Put("/cgroup/hugetlb.1GB.current", "0\n");

  const agent::v1::ContainerStats stats = Read(getpid());

  EXPECT_EQ(stats.cpu_user_nanos(), 2000u);
  EXPECT_EQ(stats.cpu_system_nanos(), 1000u);
  EXPECT_EQ(stats.cpu_periods(), 8u);
  EXPECT_EQ(stats.cpu_throttled_periods(), 4u);
  EXPECT_EQ(stats.cpu_throttled_nanos(), 9000u);
  EXPECT_EQ(stats.cpu_quota_micros(), 20000u);
  EXPECT_EQ(stats.cpu_period_micros(), 100000u);
  EXPECT_EQ(stats.memory_cache_bytes(), 10u);
  EXPECT_EQ(stats.memory_kernel_bytes(), 11u);
  EXPECT_EQ(stats.memory_mapped_file_bytes(), 12u);
  EXPECT_EQ(stats.memory_peak_bytes(), 13u);
  EXPECT_TRUE(stats.has_memory_low_bytes());
  EXPECT_TRUE(stats.has_memory_swap_bytes());
  EXPECT_TRUE(stats.has_memory_swap_limit_bytes());
  EXPECT_EQ(stats.memory_swap_limit_bytes(), 0u);
  EXPECT_EQ(stats.memory_limit_hits(), 14u);
  EXPECT_EQ(stats.oom_kills(), 1u);
  EXPECT_EQ(stats.threads_max(), 15u);
  EXPECT_EQ(stats.io_pressure().some_avg10(), 100u);
  EXPECT_EQ(stats.io_pressure().full_total_micros(), 17u);
  EXPECT_FALSE(stats.has_cpu_pressure());
  ASSERT_EQ(stats.huge_pages_size(), 1);
  EXPECT_EQ(stats.huge_pages(0).size(), "2MB");
  EXPECT_EQ(stats.huge_pages(0).bytes(), 2097152u);
  rlimit limit = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
  EXPECT_EQ(stats.has_max_open_files(), limit.rlim_cur != RLIM_INFINITY);
  if (stats.has_max_open_files()) {
    EXPECT_EQ(stats.max_open_files(), limit.rlim_cur);
  }
}

TEST_F(ContainerStatsTest, ACpuWithoutALimitHasAPeriodAndNoQuota) {
  Put("/cgroup/cpu.max", "max 100000\n");
  const agent::v1::ContainerStats stats = Read();
  EXPECT_FALSE(stats.has_cpu_quota_micros());
  EXPECT_EQ(stats.cpu_period_micros(), 100000u);
}

TEST_F(ContainerStatsTest, ProcessesAndWhatTheyHaveOpenAreCounted) {
  Put("/cgroup/cgroup.stat", "nr_descendants 0\nnr_dying_descendants 0\n");
  Put("/cgroup/cgroup.procs", "5\n6\n");
  PutProcess(5, 1, 2);
  PutProcess(6, 0, 4);

  const agent::v1::ContainerStats stats = Read();

  EXPECT_EQ(stats.processes(), 2u);
  EXPECT_EQ(stats.file_descriptors(), 7u);
  EXPECT_EQ(stats.sockets(), 1u);
}

TEST_F(ContainerStatsTest, AFloodOfDescriptorsIsNotCounted) {
  Put("/cgroup/cgroup.stat", "nr_descendants 0\n");
  Put("/cgroup/cgroup.procs", "5\n");
  PutProcess(5, 0, 5000);

  const agent::v1::ContainerStats stats = Read();

  EXPECT_EQ(stats.processes(), 1u);
  EXPECT_FALSE(stats.has_file_descriptors());
  EXPECT_FALSE(stats.has_sockets());
}

TEST_F(ContainerStatsTest, WithCgroupsBelowNothingIsToldOfProcesses) {
  Put("/cgroup/cgroup.stat", "nr_descendants 1\n");
  Put("/cgroup/cgroup.procs", "5\n");
  PutProcess(5, 0, 1);

  const agent::v1::ContainerStats stats = Read();

  EXPECT_FALSE(stats.has_processes());
  EXPECT_FALSE(stats.has_file_descriptors());
}

TEST_F(ContainerStatsTest, DevicesHaveTheNamesOfTheKernel) {
  ASSERT_EQ(symlink("../../devices/pci0000:00/virtio1/block/vdb",
                    (root_ + "/block/254:16").c_str()),
            0);
  Put("/cgroup/io.stat",
      "254:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n"
      "254:32 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n");  // is gone

  const agent::v1::ContainerStats stats = Read();

  ASSERT_EQ(stats.block_devices_size(), 1);
  EXPECT_EQ(stats.block_devices(0).name(), "vdb");
  EXPECT_EQ(stats.block_devices(0).minor_number(), 16u);
  EXPECT_EQ(stats.block_devices(0).writes(), 4u);
}

TEST_F(ContainerStatsTest, InterfacesAreThoseOfProcNetDev) {
  Put("/proc/net/dev",
      "Inter-|   Receive  |  Transmit\n face |bytes packets ...\n"
      "    lo: 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9\n"
      "  eth0:1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n");
  const auto interfaces = Reader().Interfaces(0);
  ASSERT_EQ(interfaces.size(), 1u);
  EXPECT_EQ(interfaces[0].name(), "eth0");
  EXPECT_EQ(interfaces[0].receive_dropped(), 4u);
  EXPECT_EQ(interfaces[0].transmit_bytes(), 5u);
}

TEST_F(ContainerStatsTest, InterfacesOfAnotherNamespaceAreItsProcesss) {
  ASSERT_TRUE(MakeDirectories(root_ + "/proc/7/net").ok());
  Put("/proc/7/net/dev", "  eth0:1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n");
  EXPECT_TRUE(Reader().Interfaces(0).empty());
  EXPECT_EQ(Reader().Interfaces(7).size(), 1u);
}

TEST_F(ContainerStatsTest, AFileSystemWithoutADeviceIsNotTold) {
  EXPECT_FALSE(Reader().FileSystemOf(root_).has_value());
  EXPECT_FALSE(Reader().FileSystemOf(root_ + "/missing").has_value());
}

}  // namespace
}  // namespace podvisor
