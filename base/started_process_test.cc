#include "base/started_process.h"

#include <sys/wait.h>

#include <cerrno>

#include "gtest/gtest.h"

namespace podvisor {
namespace {

ProcessIdentity Sleeper() {
  SpawnOptions spawn;
  spawn.argv = {"sleep", "600"};
  return Spawn(spawn).value();
}

TEST(StartedProcessTest, EndsAndReapsWhatNobodyKept) {
  SystemClock clock;
  const ProcessIdentity process = Sleeper();

  { const StartedProcess started(process, "sleeper", &clock); }

  EXPECT_FALSE(IsAlive(process));
  EXPECT_EQ(waitpid(process.pid, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

TEST(StartedProcessTest, LeavesWhatWasKept) {
  SystemClock clock;
  const ProcessIdentity process = Sleeper();

  {
    StartedProcess started(process, "sleeper", &clock);
    started.Keep();
  }

  EXPECT_TRUE(IsAlive(process));
  EXPECT_TRUE(KillGroup(process, clock.Now() + absl::Seconds(20)).ok());
}

}  // namespace
}  // namespace podvisor
