#include "guestagent/agent/image_path.h"

#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "base/file.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

class ImagePathTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(MakeDirectories(image_ + "/data/deep").ok());
    ASSERT_TRUE(WriteFileAtomically(image_ + "/data/file", "x").ok());
    ASSERT_TRUE(MakeDirectories(outside_).ok());
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(base_).ok()); }

  void Link(const std::string& target, const std::string& name) {
    ASSERT_EQ(symlink(target.c_str(), (image_ + "/" + name).c_str()), 0);
  }

  const std::string base_ = testing::TempDir() + "image_path";
  const std::string image_ = base_ + "/image";
  const std::string outside_ = base_ + "/outside";
};

TEST_F(ImagePathTest, APathIsThatOfADirectoryOrFileOfTheImage) {
  EXPECT_EQ(*PathInImage(image_, ""), image_);
  EXPECT_EQ(*PathInImage(image_, "data/deep"), image_ + "/data/deep");
  EXPECT_EQ(*PathInImage(image_, "/data//file"), image_ + "/data/file");
}

TEST_F(ImagePathTest, LinksLeadNowhereButIntoTheImage) {
  Link("data/deep", "relative");
  Link("/data/file", "absolute");
  Link("../../../../../data", "up");
  Link("../outside", "out");
  Link(outside_, "far");
  Link("loop", "loop");
  Link("/proc/self/root", "magic");

  EXPECT_EQ(*PathInImage(image_, "relative"), image_ + "/data/deep");
  EXPECT_EQ(*PathInImage(image_, "absolute"), image_ + "/data/file");
  EXPECT_EQ(*PathInImage(image_, "up/deep"), image_ + "/data/deep");
  EXPECT_EQ(*PathInImage(image_, "../../data"), image_ + "/data");
  for (const char* path : {"out", "far", "magic", "magic/etc"}) {
    EXPECT_TRUE(absl::IsNotFound(PathInImage(image_, path).status())) << path;
  }
  EXPECT_FALSE(PathInImage(image_, "loop").ok());
}

TEST_F(ImagePathTest, WhatIsNotThereOrNoFileIsAnError) {
  ASSERT_EQ(mkfifo((image_ + "/fifo").c_str(), 0600), 0);

  EXPECT_TRUE(absl::IsNotFound(PathInImage(image_, "none").status()));
  EXPECT_TRUE(absl::IsNotFound(PathInImage(image_, "data/file/x").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(PathInImage(image_, "fifo").status()));
  EXPECT_TRUE(
      absl::IsFailedPrecondition(PathInImage(image_ + "-other", "").status()));
}

}  // namespace
}  // namespace podvisor
