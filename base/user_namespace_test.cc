#include "base/user_namespace.h"

#include <sched.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "base/file.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

TEST(IdMappingTest, ThatTheKernelTakesItAndThatItSeparatesIsChecked) {
  EXPECT_TRUE(CheckIdMapping({1000, 100000}).ok());
  EXPECT_TRUE(CheckIdMapping({1, 0xfffffffd}).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(CheckIdMapping({1, 0xfffffffe})));
  EXPECT_TRUE(absl::IsInvalidArgument(CheckIdMapping({0xfffffffe, 1})));
  EXPECT_TRUE(absl::IsInvalidArgument(CheckIdMapping({1000, 0})));
  EXPECT_TRUE(absl::IsInvalidArgument(CheckIdMapping({0, 65536})));
}

TEST(UserNamespaceTest, HasTheMappingAndLivesWithItsDescriptor) {
  if (getuid() != 0) GTEST_SKIP() << "needs root";
  const absl::StatusOr<UniqueFd> ns = OpenUserNamespace({4711, 65536});
  ASSERT_TRUE(ns.ok()) << ns.status();

  // A process in it sees its own mapping.
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    if (setns(ns->get(), CLONE_NEWUSER) != 0) _exit(1);
    const absl::StatusOr<std::string> map = ReadFile("/proc/self/uid_map", 256);
    if (!map.ok() || !WriteAll(ends[1], *map).ok()) _exit(2);
    _exit(0);
  }
  close(ends[1]);
  char text[256] = {};
  ASSERT_GT(read(ends[0], text, sizeof(text) - 1), 0);
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  unsigned inside = 1, outside = 0, length = 0;
  ASSERT_EQ(sscanf(text, "%u %u %u", &inside, &outside, &length), 3);
  EXPECT_EQ(inside, 0u);
  EXPECT_EQ(outside, 4711u);
  EXPECT_EQ(length, 65536u);
}

TEST(UserNamespaceTest, AMappingThatCannotBeMakesNoProcess) {
  EXPECT_TRUE(absl::IsInvalidArgument(OpenUserNamespace({0, 1}).status()));
}

}  // namespace
}  // namespace podvisor
