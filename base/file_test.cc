#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/unique_fd.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

std::string Scratch(const std::string& name) {
  return testing::TempDir() + "/file_test_" + std::to_string(getpid()) + name;
}

TEST(FileTest, AtomicWriteReplacesTheWholeFile) {
  const std::string path = Scratch("atomic");
  ASSERT_TRUE(WriteFileAtomically(path, "a long first version").ok());

  ASSERT_TRUE(WriteFileAtomically(path, "second").ok());

  EXPECT_EQ(ReadFile(path).value(), "second");
}

TEST(FileTest, ReadRefusesMoreThanTheLimit) {
  const std::string path = Scratch("limit");
  ASSERT_TRUE(WriteFileAtomically(path, "12345").ok());

  EXPECT_EQ(ReadFile(path, 5).value(), "12345");
  EXPECT_TRUE(absl::IsResourceExhausted(ReadFile(path, 4).status()));
}

TEST(FileTest, AMissingFileIsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(ReadFile(Scratch("missing")).status()));
}

TEST(FileTest, RemoveTreeLeavesWhatSymbolicLinksPointTo) {
  const std::string tree = Scratch("tree"), outside = Scratch("outside");
  ASSERT_TRUE(MakeDirectories(tree + "/a/b").ok());
  ASSERT_TRUE(WriteFileAtomically(outside, "kept").ok());
  ASSERT_EQ(symlink(outside.c_str(), (tree + "/a/link").c_str()), 0);

  ASSERT_TRUE(RemoveTree(tree).ok());

  EXPECT_NE(access(tree.c_str(), F_OK), 0);
  EXPECT_EQ(ReadFile(outside).value(), "kept");
  EXPECT_TRUE(RemoveTree(tree).ok());  // already gone
}

TEST(FileTest, RemoveTreeGetsToTheBottomOfAnyDepth) {
  const std::string tree = Scratch("deep");
  ASSERT_TRUE(MakeDirectories(tree).ok());
  UniqueFd here(open(tree.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (int level = 0; level < 2'000; ++level) {
    ASSERT_EQ(mkdirat(here.get(), "d", 0700), 0);
    // In the way of what is moved up.
    if (level == 0) {
      ASSERT_EQ(mkdirat(here.get(), ".removed-0", 0700), 0);
    }
    here.Reset(openat(here.get(), "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_TRUE(here.valid());
  }
  ASSERT_EQ(symlinkat("/", here.get(), "link"), 0);

  const absl::Status removed = RemoveTree(tree);

  EXPECT_TRUE(removed.ok()) << removed;
  EXPECT_NE(access(tree.c_str(), F_OK), 0);
}

TEST(FileTest, MakeDirectoriesRefusesAFileInTheWay) {
  const std::string path = Scratch("in_the_way");
  ASSERT_TRUE(WriteFileAtomically(path, "").ok());

  EXPECT_FALSE(MakeDirectories(path).ok());
  EXPECT_FALSE(MakeDirectories(path + "/below").ok());
}

}  // namespace
}  // namespace podvisor
