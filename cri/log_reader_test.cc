#include "cri/log_reader.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

class LogReaderTest : public testing::Test {
 protected:
  void SetUp() override { unlink(path_.c_str()); }

  void Write(const std::string& text, const char* mode) {
    FILE* const file = fopen(path_.c_str(), mode);
    ASSERT_NE(file, nullptr);
    fputs(text.c_str(), file);
    fclose(file);
  }
  std::string Read() {
    std::string read;
    status_ = reader_.ReadOn(
        [&](absl::string_view piece) { absl::StrAppend(&read, piece); });
    return read;
  }

  const std::string path_ = testing::TempDir() + "/reader.log";
  LogReader reader_{path_};
  absl::Status status_;
};

TEST_F(LogReaderTest, GoesOnWhereItWas) {
  Write("one\n", "w");
  EXPECT_EQ(Read(), "one\n");
  EXPECT_EQ(Read(), "");
  Write("two\n", "a");
  EXPECT_EQ(Read(), "two\n");
}

TEST_F(LogReaderTest, ReadsARotatedLogToItsEndAndThenTheNewOne) {
  Write("one\n", "w");
  EXPECT_EQ(Read(), "one\n");
  Write("two\n", "a");
  ASSERT_EQ(rename(path_.c_str(), (path_ + ".1").c_str()), 0);
  EXPECT_EQ(Read(), "two\n");
  EXPECT_TRUE(status_.ok()) << "there is no new one yet: " << status_;

  Write("three\n", "w");
  EXPECT_EQ(Read(), "three\n");
}

TEST_F(LogReaderTest, ALogThatWasCutIsReadFromItsBeginning) {
  Write("a long line\n", "w");
  EXPECT_EQ(Read(), "a long line\n");
  Write("new\n", "w");
  EXPECT_EQ(Read(), "new\n");
}

TEST_F(LogReaderTest, WhatIsNoFileIsRefused) {
  Read();
  EXPECT_TRUE(absl::IsNotFound(status_)) << status_;
  ASSERT_EQ(symlink("/etc/passwd", path_.c_str()), 0);
  EXPECT_EQ(Read(), "");
  EXPECT_FALSE(status_.ok());
  unlink(path_.c_str());
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  EXPECT_EQ(Read(), "");
  EXPECT_TRUE(absl::IsFailedPrecondition(status_)) << status_;
}

}  // namespace
}  // namespace podvisor
