#include "base/process.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

absl::Time Soon() { return absl::Now() + absl::Seconds(20); }

CommandOptions Shell(std::string script) {
  CommandOptions options;
  options.argv = {"sh", "-c", std::move(script)};
  options.deadline = Soon();
  return options;
}

TEST(RunCommandTest, ReturnsOutputAndExitCode) {
  CommandOptions options = Shell("cat; echo oops >&2; exit 3");
  options.stdin_data = "hello";

  const absl::StatusOr<CommandResult> result = RunCommand(options);

  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->stdout_data, "hello");
  EXPECT_EQ(result->stderr_data, "oops\n");
  EXPECT_EQ(result->exit_code, 3);
}

TEST(RunCommandTest, CarriesMoreThanAPipeHolds) {
  CommandOptions options = Shell("cat");
  options.stdin_data.assign(300'000, 'x');

  const absl::StatusOr<CommandResult> result = RunCommand(options);

  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->stdout_data, options.stdin_data);
}

TEST(RunCommandTest, DiscardsOutputAboveTheLimit) {
  CommandOptions options = Shell("head -c 100000 /dev/zero");
  options.max_output_bytes = 1000;

  const absl::StatusOr<CommandResult> result = RunCommand(options);

  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->stdout_data.size(), 1000u);
  EXPECT_EQ(result->exit_code, 0);
}

TEST(RunCommandTest, ASignalBecomes128Plus) {
  const absl::StatusOr<CommandResult> result = RunCommand(Shell("kill -9 $$"));

  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->exit_code, 128 + SIGKILL);
}

TEST(RunCommandTest, KillsAtTheDeadline) {
  CommandOptions options = Shell("sleep 1000 & echo $!; wait");
  options.deadline = absl::Now() + absl::Milliseconds(300);

  EXPECT_TRUE(absl::IsDeadlineExceeded(RunCommand(options).status()));
}

TEST(RunCommandTest, KillsWhenCancelled) {
  CommandOptions options = Shell("sleep 1000");
  options.cancelled = [] { return true; };

  EXPECT_TRUE(absl::IsCancelled(RunCommand(options).status()));
}

TEST(RunCommandTest, DoesNotWaitForAGrandchildThatKeepsThePipe) {
  const absl::StatusOr<CommandResult> result =
      RunCommand(Shell("sleep 5 & echo done"));

  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->stdout_data, "done\n");
}

TEST(RunCommandTest, TheExitCodeIsKeptWhenTheOutputsWereClosedBefore) {
  for (int i = 0; i < 20; ++i) {
    const absl::StatusOr<CommandResult> result =
        RunCommand(Shell("exec >&- 2>&-; sleep 0.01; exit 3"));

    ASSERT_TRUE(result.ok()) << result.status();
    ASSERT_EQ(result->exit_code, 3);
  }
}

TEST(RunCommandTest, AMissingProgramIsNotFound) {
  CommandOptions options;
  options.argv = {"/nonexistent/program"};

  EXPECT_TRUE(absl::IsNotFound(RunCommand(options).status()));
}

TEST(RunCommandTest, ProgramsAreFoundInTheChildsPathAndNotInOurs) {
  setenv("PATH", "/nonexistent", 1);

  EXPECT_TRUE(RunCommand(Shell("true")).ok());

  CommandOptions elsewhere = Shell("true");
  elsewhere.env = {"PATH=/nonexistent"};
  EXPECT_TRUE(absl::IsNotFound(RunCommand(elsewhere).status()));
}

TEST(RunCommandTest, InheritsNothingOfTheEnvironment) {
  setenv("PODVISOR_TEST_SECRET", "1", 1);

  const absl::StatusOr<CommandResult> result = RunCommand(Shell("env"));

  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(result->stdout_data,
              testing::Not(testing::HasSubstr("PODVISOR_TEST_SECRET")));
}

TEST(SpawnTest, DescriptorsArriveUnderTheirNumbersEvenWhenTheyCross) {
  int fds[2];
  ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
  UniqueFd read_end(fds[0]), write_end(fds[1]);
  SpawnOptions options;
  options.argv = {"sh", "-c", "echo crossed >&\"$0\"",
                  std::to_string(read_end.get())};
  // Each gets the other's number.
  options.fds = {{read_end.get(), write_end.get()},
                 {write_end.get(), read_end.get()}};
  if (read_end.get() > 9 || write_end.get() > 9) GTEST_SKIP();

  const absl::StatusOr<ProcessIdentity> process = Spawn(options);

  ASSERT_TRUE(process.ok()) << process.status();
  EXPECT_EQ(WaitProcess(*process, Soon()).value(), 0);
  char buffer[16] = {};
  EXPECT_EQ(read(read_end.get(), buffer, sizeof(buffer)), 8);
  EXPECT_STREQ(buffer, "crossed\n");
}

TEST(SpawnTest, NoOtherDescriptorGetsIntoTheChild) {
  const UniqueFd careless(open("/dev/null", O_RDONLY));
  ASSERT_TRUE(careless.valid());
  const std::string name = absl::StrCat("/proc/self/fd/", careless.get());

  EXPECT_EQ(RunCommand(Shell("test -e " + name))->exit_code, 1);
}

TEST(KillGroupTest, AGroupWithoutItsLeaderMayBeSomebodyElses) {
  UniqueFd ends[2];
  SpawnOptions spawn;
  // The leader ends at once; one of its group lives on.
  spawn.argv = {"sh", "-c", "sleep 600 & echo $!"};
  int fds[2];
  ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
  ends[0].Reset(fds[0]);
  ends[1].Reset(fds[1]);
  spawn.stdout_fd = fds[1];
  const ProcessIdentity leader = Spawn(spawn).value();
  ASSERT_TRUE(WaitProcess(leader, Soon()).ok());
  char text[32] = {};
  ASSERT_GT(read(fds[0], text, sizeof(text) - 1), 0);
  const ProcessIdentity member = IdentifyProcess(atoi(text)).value();

  EXPECT_TRUE(KillGroup(leader, Soon()).ok());

  EXPECT_TRUE(IsAlive(member));
  kill(member.pid, SIGKILL);
}

TEST(ProcessIdentityTest, ADifferentStartTimeIsAnotherProcess) {
  ProcessIdentity self = IdentifyProcess(getpid()).value();
  EXPECT_TRUE(IsAlive(self));

  self.start_ticks += 1;

  EXPECT_FALSE(IsAlive(self));
  EXPECT_TRUE(KillGroup(self, Soon()).ok());  // and we are still here
}

TEST(KillGroupTest, EndsTheDescendantsToo) {
  int fds[2];
  ASSERT_EQ(pipe2(fds, O_CLOEXEC), 0);
  UniqueFd read_end(fds[0]), write_end(fds[1]);
  SpawnOptions options;
  options.argv = {"sh", "-c", "sleep 1000 & echo up; wait"};
  options.stdout_fd = write_end.get();
  const ProcessIdentity process = Spawn(options).value();
  write_end.Reset();
  char buffer[16];
  ASSERT_EQ(read(read_end.get(), buffer, sizeof(buffer)), 3);

  EXPECT_TRUE(KillGroup(process, Soon()).ok());

  // End of file: nobody holds the pipe any more.
  EXPECT_EQ(read(read_end.get(), buffer, sizeof(buffer)), 0);
  EXPECT_FALSE(IsAlive(process));
}

}  // namespace
}  // namespace podvisor
