#include "volume/scratch_disk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

constexpr int64_t kSize = int64_t{1} << 30;

class ScratchDiskTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(RemoveTree(root_).ok()); }
  void TearDown() override { ASSERT_TRUE(RemoveTree(root_).ok()); }

  absl::Time Soon() { return absl::Now() + absl::Seconds(60); }
  std::string Path(const PodId& id) {
    return absl::StrCat(root_, "/pods/", id.value(), "/scratch.img");
  }

  const std::string root_ = absl::StrCat(testing::TempDir(), "/scratch_root");
  ScratchDisks disks_{root_, kSize};
  const PodId a_{std::string(64, 'a')};
  const PodId b_{std::string(64, 'b')};
};

TEST_F(ScratchDiskTest, ADiskIsALargeSparseFileThatIsAFileSystem) {
  const auto fd = disks_.Create(a_, Soon());
  ASSERT_TRUE(fd.ok()) << fd.status();

  struct stat info;
  ASSERT_EQ(fstat(fd->get(), &info), 0);
  EXPECT_EQ(info.st_size, kSize);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_LT(info.st_blocks * 512, 16 << 20);
  EXPECT_EQ(fcntl(fd->get(), F_GETFL) & O_ACCMODE, O_RDWR);
  CommandOptions fsck;
  fsck.argv = {"e2fsck", "-f", "-n", Path(a_)};
  const auto checked = RunCommand(fsck);
  ASSERT_TRUE(checked.ok());
  EXPECT_EQ(checked->exit_code, 0) << checked->stdout_data;
}

TEST_F(ScratchDiskTest, DisksOfPodsAreIndependent) {
  const auto a = disks_.Create(a_, Soon());
  ASSERT_TRUE(a.ok());
  ASSERT_EQ(pwrite(a->get(), "mine", 4, 512 << 20), 4);

  const auto b = disks_.Create(b_, Soon());

  ASSERT_TRUE(b.ok());
  char bytes[4] = {1, 1, 1, 1};
  ASSERT_EQ(pread(b->get(), bytes, 4, 512 << 20), 4);
  EXPECT_EQ(std::string(bytes, 4), std::string(4, '\0'));
}

TEST_F(ScratchDiskTest, ANewPodNeverSeesAnOldDisk) {
  {
    const auto old = disks_.Create(a_, Soon());
    ASSERT_TRUE(old.ok());
    ASSERT_EQ(pwrite(old->get(), "old", 3, 512 << 20), 3);
  }

  const auto fresh = disks_.Create(a_, Soon());

  ASSERT_TRUE(fresh.ok());
  char byte = 1;
  ASSERT_EQ(pread(fresh->get(), &byte, 1, 512 << 20), 1);
  EXPECT_EQ(byte, 0);
}

TEST_F(ScratchDiskTest, ATruncatedTemplateIsMadeAgain) {
  ASSERT_TRUE(MakeDirectories(root_).ok());
  ASSERT_TRUE(WriteFileAtomically(
                  absl::StrCat(root_, "/scratch-", kSize, ".template"), "torn")
                  .ok());

  const auto fd = disks_.Create(a_, Soon());

  ASSERT_TRUE(fd.ok()) << fd.status();
  char magic[2];
  ASSERT_EQ(pread(fd->get(), magic, 2, 1024 + 56), 2);
  EXPECT_EQ(std::string(magic, 2), "\x53\xef");
}

TEST_F(ScratchDiskTest, RemoveIsIdempotent) {
  ASSERT_TRUE(disks_.Create(a_, Soon()).ok());

  EXPECT_TRUE(disks_.Remove(a_).ok());
  EXPECT_TRUE(disks_.Remove(a_).ok());
  EXPECT_NE(access(Path(a_).c_str(), F_OK), 0);
}

TEST_F(ScratchDiskTest, SweepLeavesTheLiving) {
  ASSERT_TRUE(disks_.Create(a_, Soon()).ok());
  ASSERT_TRUE(disks_.Create(b_, Soon()).ok());

  const auto removed = disks_.Sweep({b_});

  ASSERT_TRUE(removed.ok());
  EXPECT_EQ(*removed, std::vector<PodId>{a_});
  EXPECT_EQ(access(Path(b_).c_str(), F_OK), 0);
}

TEST_F(ScratchDiskTest, UsageIsWhatTheDisksTakeAndNotTheirSize) {
  EXPECT_EQ(disks_.GetUsage()->inodes, 0);
  const UniqueFd disk = disks_.Create(a_, Soon()).value();
  const int64_t empty = disks_.GetUsage()->bytes;
  const std::string written(1 << 20, 'x');
  ASSERT_EQ(pwrite(disk.get(), written.data(), written.size(), 8 << 20),
            static_cast<ssize_t>(written.size()));
  ASSERT_EQ(fsync(disk.get()), 0);

  const ScratchDisks::Usage usage = disks_.GetUsage().value();

  EXPECT_EQ(usage.inodes, 1);
  EXPECT_GE(usage.bytes, empty + (1 << 20));
  EXPECT_LT(usage.bytes, 16 << 20);
}

TEST_F(ScratchDiskTest, NoIdIsEverAPath) {
  for (const char* id : {"", "..", "a/b", "../../x"}) {
    EXPECT_TRUE(
        absl::IsInvalidArgument(disks_.Create(PodId(id), Soon()).status()));
    EXPECT_TRUE(absl::IsInvalidArgument(disks_.Remove(PodId(id))));
  }
}

}  // namespace
}  // namespace podvisor
