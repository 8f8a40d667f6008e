// Exec, terminals and what processes inherit, in one VM under TCG.

#include <string>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "base/ids.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "guestagent/agent/container_vm_fixture.h"

namespace podvisor {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(ContainerVmTest, NoDescriptorLeaksIntoContainerOrExec) {
  // The listing itself has one more, of the directory.
  const std::string list = "cd /proc/self/fd; echo *; exec sleep 1000";
  const std::string id = Run(Shell(list));
  EXPECT_EQ(ReadOutput(id, 0, 1).out, "0 1 2 3\n");
  EXPECT_EQ(Exec(id, {"/bin/sh", "-c", "cd /proc/self/fd; echo *"}).out,
            "0 1 2 3\n");
}

TEST_F(ContainerVmTest, ExecHasStdinExitCodeAndTheContainersUser) {
  ContainerSpec spec = Spec({"/bin/sleep", "1000"});
  spec.mutable_user()->set_uid(1);
  spec.set_cwd("/tmp/new");
  spec.add_env("COLOR=red");
  const std::string id = Run(spec);
  ExecResult result = Exec(id, {"sh", "-c", "id -u; pwd; echo $COLOR; exit 7"});
  EXPECT_TRUE(result.status.ok()) << result.status.error_message();
  EXPECT_EQ(result.out, "1\n/tmp/new\nred\n");
  EXPECT_EQ(result.exit_code, 7);
  const std::string big(1 << 20, 'x');
  result = Exec(id, {"cat"}, big);
  EXPECT_TRUE(result.out == big) << result.out.size();
  EXPECT_EQ(result.exit_code, 0);
  result = Exec(id, {"sh", "-c", "kill -9 $$"});
  EXPECT_EQ(result.exit_code, 137);
}

TEST_F(ContainerVmTest, NothingOfTheAgentsEnvironmentArrives) {
  ContainerSpec spec = Shell("env; exec sleep 1000");
  const std::string id = Run(spec);
  std::string in_container = ReadOutput(id, 0, 1).out;
  std::string in_exec = Exec(id, {"env"}).out;
  for (std::string* text : {&in_container, &in_exec}) {
    EXPECT_THAT(*text, Not(HasSubstr("LIBCONTAINER")));
    EXPECT_THAT(*text, Not(HasSubstr("LISTEN")));
    EXPECT_THAT(*text, HasSubstr("PATH=/usr/local/sbin:"));
    EXPECT_THAT(*text, HasSubstr("HOME=/root\n"));
  }
}

TEST_F(ContainerVmTest, ExecOfWhatCannotRunIsLikeAShells) {
  const std::string id = Run(Spec({"/bin/sleep", "1000"}));
  ExecResult result = Exec(id, {"nope"});
  EXPECT_EQ(result.exit_code, 127) << result.status.error_message();
  EXPECT_THAT(result.err, HasSubstr("nope"));
  result = Exec(id, {"/etc/not-executable"});
  EXPECT_EQ(result.exit_code, 126) << result.err;
  EXPECT_EQ(Exec(id, {"/bin/nope"}, "", true).exit_code, 127);
  EXPECT_EQ(Exec(RandomHexId(), {"true"}).status.error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST_F(ContainerVmTest, ExecWithATerminalHasItsSize) {
  const std::string id = Run(Spec({"/bin/sleep", "1000"}));
  const ExecResult result = Exec(
      id, {"sh", "-c", "tty; read line; stty size; echo got $line; exit 4"},
      "typed\n", true);
  EXPECT_TRUE(result.status.ok()) << result.status.error_message();
  EXPECT_EQ(result.exit_code, 4);
  EXPECT_THAT(result.out, HasSubstr("/dev/pts/"));
  EXPECT_THAT(result.out, HasSubstr("40 100\r\n"));
  EXPECT_THAT(result.out, HasSubstr("got typed\r\n"));
}

TEST_F(ContainerVmTest, ExecDoesNotWaitForAChildThatHoldsThePipe) {
  const std::string id = Run(Spec({"/bin/sleep", "1000"}));
  const absl::Time begin = absl::Now();
  const ExecResult result = Exec(id, {"sh", "-c", "sleep 500 & echo done"});
  EXPECT_EQ(result.out, "done\n");
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_LT(absl::Now() - begin, absl::Seconds(60));
}

TEST_F(ContainerVmTest, WhenAnExecsTimeoutIsToldItsProcessIsGone) {
  const std::string id = Run(Spec({"/bin/sleep", "1000"}));
  grpc::ClientContext context;
  const auto stream = vm_->stub()->Exec(&context);
  ExecInput message;
  message.mutable_start()->set_container_id(id);
  for (const char* arg : {"sh", "-c", "echo up; exec sleep 4321"}) {
    message.mutable_start()->add_args(arg);
  }
  message.mutable_start()->set_timeout_nanos(
      absl::ToInt64Nanoseconds(absl::Seconds(2)));
  stream->Write(message);
  stream->WritesDone();
  ExecOutput output;
  while (stream->Read(&output)) {
    EXPECT_EQ(output.output_case(), ExecOutput::kStdout);
  }

  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  agent::v1::GetStatsResponse stats;
  ASSERT_TRUE(
      Call(&Agent::Stub::GetStats, agent::v1::GetStatsRequest(), &stats).ok());
  ASSERT_EQ(stats.containers_size(), 1);
  EXPECT_EQ(stats.containers(0).pids(), 1u);
}

TEST_F(ContainerVmTest, AClockThatIsSetAheadCutsNoWaitShort) {
  const std::string id = Run(Spec({"/bin/sleep", "1000"}));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kCallTimeout);
  const auto stream = vm_->stub()->Exec(&context);
  ExecInput message;
  message.mutable_start()->set_container_id(id);
  message.mutable_start()->set_drain_timeout_nanos(
      absl::ToInt64Nanoseconds(absl::Seconds(60)));
  for (const char* arg :
       {"sh", "-c",
        "(while [ ! -e /tmp/go ]; do sleep 0.1; done; echo late) & echo up"}) {
    message.mutable_start()->add_args(arg);
  }
  stream->Write(message);
  stream->WritesDone();
  ExecOutput output;
  ASSERT_TRUE(stream->Read(&output));
  EXPECT_EQ(output.stdout(), "up\n");
  // More than once: the exec's own process may end after the first.
  for (int hours = 1; hours <= 3; ++hours) {
    ASSERT_TRUE(Hello(absl::Now() + absl::Hours(hours)).ok());
    EXPECT_EQ(Exec(id, {"true"}).exit_code, 0);
  }
  EXPECT_EQ(Exec(id, {"touch", "/tmp/go"}).exit_code, 0);
  ASSERT_TRUE(stream->Read(&output));
  EXPECT_EQ(output.stdout(), "late\n");
  while (stream->Read(&output)) {
  }
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(ContainerVmTest, CancelledExecIsKilled) {
  const std::string id = Run(Spec({"/bin/sleep", "1000"}));
  {
    grpc::ClientContext context;
    const auto stream = vm_->stub()->Exec(&context);
    ExecInput message;
    message.mutable_start()->set_container_id(id);
    for (const char* arg : {"sh", "-c", "echo up; sleep 4321; true"}) {
      message.mutable_start()->add_args(arg);
    }
    stream->Write(message);
    ExecOutput output;
    ASSERT_TRUE(stream->Read(&output));
    EXPECT_EQ(output.stdout(), "up\n");
    context.TryCancel();
    stream->Finish();
  }
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  std::string processes;
  do {
    processes = Exec(id, {"ps", "-o", "args"}).out;
  } while (absl::StrContains(processes, "4321") && absl::Now() < deadline);
  EXPECT_FALSE(absl::StrContains(processes, "4321")) << processes;
}

TEST_F(ContainerVmTest, OomScoreIsTheAskedOneInContainerAndExec) {
  ContainerSpec spec = Shell("cat /proc/self/oom_score_adj; exec sleep 1000");
  spec.set_oom_score_adj(321);
  const std::string id = Run(spec);
  EXPECT_EQ(ReadOutput(id, 0, 1).out, "321\n");
  EXPECT_EQ(Exec(id, {"cat", "/proc/self/oom_score_adj"}).out, "321\n");
  EXPECT_EQ(OutputOf(Shell("cat /proc/self/oom_score_adj")), "0\n");
}

TEST_F(ContainerVmTest, ContainerWithATerminal) {
  ContainerSpec spec = Shell("tty; echo $TERM; echo error >&2");
  spec.set_tty(true);
  const std::string id = Run(spec);
  EXPECT_EQ(ReadOutput(id).out, "/dev/pts/0\r\nxterm\r\nerror\r\n");
}

}  // namespace
}  // namespace podvisor
