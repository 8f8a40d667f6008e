#include "guestagent/agent/child_reaper.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "absl/time/clock.h"
#include "base/process.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

// A child of the main thread, where the kernel also puts PID 1's orphans.
pid_t ChildThatExits(int code) {
  const pid_t pid = fork();
  if (pid == 0) _exit(code);
  return pid;
}

void AwaitZombie(pid_t pid) {
  siginfo_t info;
  ASSERT_EQ(waitid(P_PID, pid, &info, WEXITED | WNOWAIT), 0);
}

TEST(ChildReaperTest, ExitOfAnAdoptedProcessIsDeliveredOnce) {
  ChildReaper reaper;
  int calls = 0;
  int wait_status = 0;
  const pid_t pid = ChildThatExits(7);
  const auto on_exit = [&](int status) {
    ++calls;
    wait_status = status;
  };

  ASSERT_TRUE(reaper.Adopt(pid, on_exit).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(reaper.Adopt(pid, on_exit)));
  AwaitZombie(pid);
  EXPECT_EQ(reaper.ReapOnce(), 1);
  EXPECT_EQ(reaper.ReapOnce(), 0);

  EXPECT_EQ(calls, 1);
  EXPECT_EQ(WEXITSTATUS(wait_status), 7);
}

TEST(ChildReaperTest, ExitBeforeTheAdoptionIsRememberedInAWindow) {
  ChildReaper reaper;
  int wait_status = 0;
  const ChildReaper::AdoptionWindow window(&reaper);
  const pid_t pid = ChildThatExits(9);
  AwaitZombie(pid);
  ASSERT_EQ(reaper.ReapOnce(), 1);

  ASSERT_TRUE(reaper.Adopt(pid, [&](int s) { wait_status = s; }).ok());

  EXPECT_EQ(WEXITSTATUS(wait_status), 9);
}

TEST(ChildReaperTest, WithoutAWindowAnExitIsForgotten) {
  ChildReaper reaper;
  const pid_t pid = ChildThatExits(1);
  AwaitZombie(pid);
  { const ChildReaper::AdoptionWindow closed(&reaper); }
  ASSERT_EQ(reaper.ReapOnce(), 1);

  EXPECT_TRUE(absl::IsNotFound(reaper.Adopt(pid, [](int) {})));
}

TEST(ChildReaperTest, ZombieThatIsNotReapedYetCanBeAdopted) {
  ChildReaper reaper;
  const pid_t pid = ChildThatExits(3);
  AwaitZombie(pid);
  int wait_status = 0;

  ASSERT_TRUE(reaper.Adopt(pid, [&](int s) { wait_status = s; }).ok());
  reaper.ReapOnce();

  EXPECT_EQ(WEXITSTATUS(wait_status), 3);
}

TEST(ChildReaperTest, ProgramsOfOtherThreadsKeepTheirStatus) {
  ChildReaper reaper;
  std::atomic<bool> done{false};
  int failures = 0;
  std::thread spawner([&] {
    for (int i = 0; i < 50; ++i) {
      const auto result =
          RunCommand({.argv = {"/bin/sh", "-c", "exit 5"},
                      .env = {},
                      .stdin_data = "",
                      .deadline = absl::Now() + absl::Seconds(30),
                      .cancelled = nullptr});
      if (!result.ok() || result->exit_code != 5) ++failures;
    }
    done = true;
  });

  while (!done) EXPECT_EQ(reaper.ReapOnce(), 0);
  spawner.join();

  EXPECT_EQ(failures, 0);
}

TEST(ChildReaperTest, AwaitGivesUpAtItsDeadline) {
  ChildReaper reaper;
  const pid_t pid = fork();
  if (pid == 0) {
    while (true) pause();
  }

  EXPECT_TRUE(
      absl::IsDeadlineExceeded(reaper.Await(pid, Deadline::Now()).status()));

  kill(pid, SIGKILL);
  AwaitZombie(pid);
  EXPECT_EQ(reaper.ReapOnce(), 1);
}

}  // namespace
}  // namespace podvisor
