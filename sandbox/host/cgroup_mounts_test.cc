#include "sandbox/host/cgroup_mounts.h"

#include "gtest/gtest.h"

namespace podvisor {
namespace {

constexpr CgroupVersion kV1 = CgroupVersion::kV1;
constexpr CgroupVersion kV2 = CgroupVersion::kV2;

using Mounts = std::vector<CgroupMount>;

TEST(CgroupMountsTest, AUnifiedHostHasOneTree) {
  EXPECT_EQ(ParseCgroupMounts(
                "24 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
                "30 24 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime "
                "shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot"
                "\n"),
            (Mounts{{kV2, "/sys/fs/cgroup", {}}}));
}

TEST(CgroupMountsTest, AHybridHostHasATreeForEachControllerAndTheUnifiedOne) {
  EXPECT_EQ(
      ParseCgroupMounts(
          "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
          "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:2 - "
          "cgroup cgroup rw,cpu,cpuacct\n"
          "34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup "
          "rw,cpuset\n"
          "38 31 0:35 / /sys/fs/cgroup/blkio rw,relatime - cgroup cgroup "
          "rw,blkio\n"
          "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 "
          "rw\n"),
      (Mounts{{kV1, "/sys/fs/cgroup/cpu,cpuacct", {"cpu", "cpuacct"}},
              {kV1, "/sys/fs/cgroup/cpuset", {"cpuset"}},
              {kV1, "/sys/fs/cgroup/blkio", {"blkio"}},
              {kV2, "/sys/fs/cgroup/unified", {}}}));
}

TEST(CgroupMountsTest, WhatCannotHoldAPodIsLeftOut) {
  for (const char* line :
       {// A part of a tree, as in a container.
        "32 31 0:29 /docker/1 /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu",
        "32 31 0:29 /../.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw",
        // Read-only, here and for everybody.
        "32 31 0:29 / /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu",
        "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup ro,cpu",
        // No controller of resources.
        "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup "
        "rw,xattr,name=systemd",
        "36 31 0:33 / /sys/fs/cgroup/devices rw - cgroup cgroup rw,devices",
        // "cpu" in a name is no controller.
        "32 31 0:29 / /sys/fs/cgroup/x rw - cgroup cgroup rw,name=cpu",
        // Something else, and no line of mountinfo at all.
        "32 31 0:29 / /sys/fs/cgroup/cpu rw - tmpfs cgroup rw,cpu", "", "-",
        "- cgroup2", "1 2 3 / /x rw - cgroup2 cgroup2",
        "1 2 3 - cgroup2 cgroup2 rw", "cgroup2 cgroup2 rw"}) {
    EXPECT_EQ(ParseCgroupMounts(line), Mounts()) << line;
  }
}

TEST(CgroupMountsTest, TheFirstMountOfATreeCounts) {
  EXPECT_EQ(ParseCgroupMounts("1 2 0:29 / /a rw - cgroup cgroup rw,cpu\n"
                              "3 2 0:29 / /b rw - cgroup cgroup rw,cpu\n"
                              "4 2 0:30 / /c rw - cgroup2 none rw\n"
                              "5 2 0:30 / /d rw - cgroup2 none rw\n"),
            (Mounts{{kV1, "/a", {"cpu"}}, {kV2, "/c", {}}}));
}

TEST(CgroupMountsTest, PathsAreUnescaped) {
  EXPECT_EQ(
      ParseCgroupMounts(R"(1 2 0:29 / /a\040b\134c\04 rw - cgroup2 none rw)"),
      (Mounts{{kV2, R"(/a b\c\04)", {}}}));
}

}  // namespace
}  // namespace podvisor
