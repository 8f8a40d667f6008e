#include "sandbox/host/block_io_plan.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using testing::HasSubstr;

constexpr CgroupVersion kV1 = CgroupVersion::kV1;
constexpr CgroupVersion kV2 = CgroupVersion::kV2;

const std::set<std::string> kCfqFiles = {"blkio.throttle.read_bps_device",
                                         "blkio.throttle.write_bps_device",
                                         "blkio.throttle.read_iops_device",
                                         "blkio.throttle.write_iops_device",
                                         "blkio.weight",
                                         "blkio.weight_device",
                                         "blkio.leaf_weight",
                                         "blkio.leaf_weight_device"};
const std::set<std::string> kBfqFiles = {"blkio.bfq.weight",
                                         "blkio.bfq.weight_device"};
const std::set<std::string> kUnifiedFiles = {"io.max", "io.weight"};

TEST(BlockIoPlanTest, EveryLimitHasItsFileAndItsWords) {
  const struct {
    BlockIoType type;
    const char* device;
    int64_t value;
    CgroupVersion version;
    const std::set<std::string>& files;
    const char* file;
    const char* text;
  } kCases[] = {
      {BlockIoType::kReadBytes, "8:0", 400, kV1, kCfqFiles,
       "blkio.throttle.read_bps_device", "8:0 400"},
      {BlockIoType::kWriteBytes, "8:0", 400, kV1, kCfqFiles,
       "blkio.throttle.write_bps_device", "8:0 400"},
      {BlockIoType::kReadOperations, "8:0", 4, kV1, kCfqFiles,
       "blkio.throttle.read_iops_device", "8:0 4"},
      {BlockIoType::kWriteOperations, "8:0", 4, kV1, kCfqFiles,
       "blkio.throttle.write_iops_device", "8:0 4"},
      {BlockIoType::kWeight, "", 78, kV1, kCfqFiles, "blkio.weight", "78"},
      {BlockIoType::kWeight, "8:0", 78, kV1, kCfqFiles, "blkio.weight_device",
       "8:0 78"},
      {BlockIoType::kLeafWeight, "", 78, kV1, kCfqFiles, "blkio.leaf_weight",
       "78"},
      {BlockIoType::kLeafWeight, "8:0", 78, kV1, kCfqFiles,
       "blkio.leaf_weight_device", "8:0 78"},
      {BlockIoType::kWeight, "", 78, kV1, kBfqFiles, "blkio.bfq.weight", "78"},
      {BlockIoType::kWeight, "8:0", 78, kV1, kBfqFiles,
       "blkio.bfq.weight_device", "8:0 78"},
      {BlockIoType::kReadBytes, "8:0", 400, kV2, kUnifiedFiles, "io.max",
       "8:0 rbps=400"},
      {BlockIoType::kWriteBytes, "8:0", 400, kV2, kUnifiedFiles, "io.max",
       "8:0 wbps=400"},
      {BlockIoType::kReadOperations, "8:0", 4, kV2, kUnifiedFiles, "io.max",
       "8:0 riops=4"},
      {BlockIoType::kWriteOperations, "8:0", 4, kV2, kUnifiedFiles, "io.max",
       "8:0 wiops=4"},
      {BlockIoType::kWeight, "", 10, kV2, kUnifiedFiles, "io.weight",
       "default 1"},
      {BlockIoType::kWeight, "8:0", 1000, kV2, kUnifiedFiles, "io.weight",
       "8:0 10000"},
      {BlockIoType::kWeight,
       "",
       78,
       kV2,
       {"io.bfq.weight"},
       "io.bfq.weight",
       "default 78"},
  };
  for (const auto& c : kCases) {
    const absl::StatusOr<CgroupWrite> write =
        PlanBlockIo({c.type, *c.device == '\0' ? "" : "/dev/sda", c.value},
                    c.device, c.version, c.files);
    ASSERT_TRUE(write.ok()) << write.status();
    EXPECT_EQ(*write, (CgroupWrite{c.file, c.text}));
  }
}

TEST(BlockIoPlanTest, WhatTheHostDoesNotHaveIsNamed) {
  const struct {
    BlockIoLimit limit;
    CgroupVersion version;
    const std::set<std::string>& files;
    const char* message;
  } kCases[] = {
      {{BlockIoType::kLeafWeight, "", 78},
       kV2,
       kUnifiedFiles,
       "blkio_cgroup: blkio_leaf_weight: this host's cgroups (version 2) have "
       "nothing like it"},
      {{BlockIoType::kLeafWeight, "", 78},
       kV1,
       kBfqFiles,
       "blkio_cgroup: blkio_leaf_weight: this host's cgroups (version 1) have "
       "no blkio.leaf_weight"},
      {{BlockIoType::kWeight, "", 78},
       kV1,
       {},
       "blkio_cgroup: blkio_weight: this host's cgroups (version 1) have no "
       "blkio.weight and no blkio.bfq.weight"},
      {{BlockIoType::kReadBytes, "/dev/sda", 1},
       kV2,
       {"cpu.max"},
       "blkio_cgroup: throttle_read_bps of /dev/sda: this host's cgroups "
       "(version 2) have no io.max"},
  };
  for (const auto& c : kCases) {
    const absl::Status status =
        PlanBlockIo(c.limit, c.limit.device.empty() ? "" : "8:0", c.version,
                    c.files)
            .status();
    EXPECT_EQ(status, absl::FailedPreconditionError(c.message));
  }
}

TEST(BlockIoPlanTest, OnlyABlockDeviceHasANumber) {
  for (const auto& [path, why] :
       {std::pair("/dev/no-such-disk", "No such file or directory"),
        std::pair("/dev/null", "is not a block device"),
        std::pair("/dev", "is not a block device")}) {
    const absl::Status status = BlockDeviceNumber(path).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << path;
    EXPECT_THAT(std::string(status.message()),
                testing::AllOf(HasSubstr("blkio_cgroup"), HasSubstr(path),
                               HasSubstr(why)));
  }
}

TEST(BlockIoPlanTest, TheNumberIsThatOfTheDeviceBehindASymbolicLink) {
  if (geteuid() != 0) GTEST_SKIP() << "NOT TESTED: device nodes need root";
  std::string directory = testing::TempDir() + "/devices.XXXXXX";
  ASSERT_NE(mkdtemp(directory.data()), nullptr);
  const std::string node = directory + "/disk";
  ASSERT_EQ(mknod(node.c_str(), S_IFBLK | 0600, makedev(259, 70000)), 0);
  ASSERT_EQ(symlink("disk", (directory + "/link").c_str()), 0);

  EXPECT_EQ(BlockDeviceNumber(directory + "/link").value(), "259:70000");
}

}  // namespace
}  // namespace podvisor
