#include "guestagent/agent/disk_mount.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

TEST(DiskMountTest, DiskIsFoundByItsWholeSerialNumber) {
  const std::string block = absl::StrCat(testing::TempDir(), "/block");
  for (const char* name : {"vda", "vdb", "loop0"}) {
    ASSERT_TRUE(MakeDirectories(absl::StrCat(block, "/", name)).ok());
  }
  ASSERT_TRUE(WriteFileAtomically(block + "/vda/serial", "image-10").ok());
  ASSERT_TRUE(WriteFileAtomically(block + "/vdb/serial", "image-1").ok());

  EXPECT_EQ(*FindDisk(block, "image-1"), "vdb");
  EXPECT_EQ(*FindDisk(block, "image-10"), "vda");
  EXPECT_TRUE(absl::IsNotFound(FindDisk(block, "image").status()));
}

TEST(DiskMountTest, RequestsThatCannotBeTouchNothing) {
  KernelModules modules({},
                        [](const std::string&) { return absl::OkStatus(); });
  DiskMount disks("/nonexistent/images", "/nonexistent/scratch", &modules);
  const std::string image(64, 'a');

  EXPECT_TRUE(absl::IsInvalidArgument(
      disks.MountImage("serial", "../etc", "squashfs", std::nullopt, nullptr)));
  EXPECT_TRUE(absl::IsInvalidArgument(
      disks.MountImage("serial", image, "ext4", std::nullopt, nullptr)));
  EXPECT_TRUE(absl::IsInvalidArgument(
      disks.MountImage("../x", image, "squashfs", std::nullopt, nullptr)));
  EXPECT_TRUE(absl::IsInvalidArgument(disks.UnmountImage("..")));
  EXPECT_TRUE(disks.UnmountImage(image).ok());
}

TEST(DiskMountTest, CancelledCallStopsWaitingForItsDisk) {
  KernelModules modules({},
                        [](const std::string&) { return absl::OkStatus(); });
  DiskMount disks("/nonexistent/images", "/nonexistent/scratch", &modules);

  EXPECT_TRUE(absl::IsCancelled(
      disks.MountScratch("no-such-disk", [] { return true; })));
}

}  // namespace
}  // namespace podvisor
