#include "image/image_files.h"

#include <unistd.h>

#include "base/file.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

class ImageFilesTest : public testing::Test {
 protected:
  ImageFilesTest() : directory_(testing::TempDir() + "/image-files") {
    EXPECT_TRUE(RemoveTree(directory_).ok());
    EXPECT_TRUE(MakeDirectories(directory_).ok());
    files_ = std::make_shared<ImageFiles>(directory_);
  }
  ~ImageFilesTest() override { EXPECT_TRUE(RemoveTree(directory_).ok()); }

  void Publish() {
    ASSERT_TRUE(WriteFileAtomically(files_->ConfigPath(hex_), "{}").ok());
    ASSERT_TRUE(
        WriteFileAtomically(directory_ + "/new", std::string(9000, 'x')).ok());
    ASSERT_TRUE(files_->Publish(hex_, directory_ + "/new").ok());
  }
  bool Exists() const {
    return access(files_->BlockPath(hex_).c_str(), F_OK) == 0;
  }

  std::string directory_;
  std::shared_ptr<ImageFiles> files_;
  const std::string hex_ = std::string(64, 'a');
};

TEST_F(ImageFilesTest, UnpinnedFilesGoAtOnce) {
  Publish();
  EXPECT_EQ(files_->GetUsage().inodes, 2);
  EXPECT_GE(files_->GetUsage().bytes, 9000);

  files_->Remove(hex_);

  EXPECT_FALSE(Exists());
  EXPECT_NE(access(files_->ConfigPath(hex_).c_str(), F_OK), 0);
  EXPECT_EQ(files_->GetUsage().bytes, 0);
}

TEST_F(ImageFilesTest, PinnedFilesGoWithTheLastPin) {
  Publish();
  std::shared_ptr<const void> pin = files_->Pin(hex_);
  std::shared_ptr<const void> second = files_->Pin(hex_);
  files_->Remove(hex_);
  EXPECT_EQ(files_->Pin(hex_), nullptr);
  EXPECT_EQ(files_->GetUsage().inodes, 2);

  pin.reset();
  EXPECT_TRUE(Exists());
  second.reset();
  EXPECT_FALSE(Exists());
}

TEST_F(ImageFilesTest, AnImagePulledAgainOutlivesOldPins) {
  Publish();
  std::shared_ptr<const void> pin = files_->Pin(hex_);
  files_->Remove(hex_);
  Publish();
  pin.reset();

  EXPECT_TRUE(Exists());
}

TEST_F(ImageFilesTest, PinsOutliveTheObject) {
  Publish();
  std::shared_ptr<const void> pin = files_->Pin(hex_);
  files_->Remove(hex_);
  const std::string path = files_->BlockPath(hex_);
  files_.reset();
  EXPECT_EQ(access(path.c_str(), F_OK), 0);
  pin.reset();

  EXPECT_NE(access(path.c_str(), F_OK), 0);
}

}  // namespace
}  // namespace podvisor
