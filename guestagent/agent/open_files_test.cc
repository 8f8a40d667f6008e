#include "guestagent/agent/open_files.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vector>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

// A directory that plays /proc.
class OpenFilesTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/procXXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    proc_ = pattern;
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(proc_).ok()); }

  void Open(pid_t process, const std::vector<const char*>& targets) {
    const std::string directory = absl::StrCat(proc_, "/", process);
    ASSERT_EQ(mkdir(directory.c_str(), 0755), 0);
    ASSERT_EQ(mkdir((directory + "/fd").c_str(), 0755), 0);
    for (size_t i = 0; i < targets.size(); ++i) {
      ASSERT_EQ(symlink(targets[i], absl::StrCat(directory, "/fd/", i).c_str()),
                0);
    }
  }

  std::string proc_;
};

TEST_F(OpenFilesTest, CountsWhatAllProcessesHaveOpen) {
  Open(7, {"/dev/null", "socket:[123456789012345]", "pipe:[5]"});
  Open(8, {"socket:[1]", "/tmp/socket:[1]"});
  const std::vector<pid_t> processes = {7, 8, 9};  // 9 is gone

  EXPECT_EQ(CountOpenFiles(proc_, processes, 1000, Deadline::Never()),
            (OpenFiles{.descriptors = 5, .sockets = 2}));
}

TEST_F(OpenFilesTest, TellsNothingWhereThereAreTooMany) {
  Open(7, {"/a", "/b", "/c"});
  const std::vector<pid_t> one = {7};
  EXPECT_TRUE(CountOpenFiles(proc_, one, 4, Deadline::Never()));
  EXPECT_FALSE(CountOpenFiles(proc_, one, 3, Deadline::Never()));

  const std::vector<pid_t> gone(100, 9);
  EXPECT_FALSE(CountOpenFiles(proc_, gone, 99, Deadline::Never()));
}

TEST_F(OpenFilesTest, TellsNothingAfterTheDeadline) {
  Open(7, std::vector<const char*>(100, "/a"));
  const std::vector<pid_t> one = {7};
  EXPECT_FALSE(CountOpenFiles(proc_, one, 1000, Deadline::Now()));
}

TEST(OpenFilesOfAProcessTest, AreThoseOfTheKernel) {
  const std::vector<pid_t> self = {getpid()};
  const auto before = CountOpenFiles("/proc", self, 100'000, Deadline::Never());
  int pair[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  const auto after = CountOpenFiles("/proc", self, 100'000, Deadline::Never());
  close(pair[0]);
  close(pair[1]);

  ASSERT_TRUE(before && after);
  EXPECT_EQ(after->descriptors, before->descriptors + 2);
  EXPECT_EQ(after->sockets, before->sockets + 2);
}

}  // namespace
}  // namespace podvisor
