// What exec and attach do whatever carries them: SPDY and WebSocket, through
// crictl.

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "e2e/crictl_node.h"
#include "e2e/crictl_session.h"
#include "e2e/streaming_fixture.h"
#include "e2e/test_node.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor::e2e {
namespace {

using testing::HasSubstr;
using Through = CrictlSession::Through;

class TransportE2eTest : public StreamingFixture,
                         public testing::WithParamInterface<const char*> {
 protected:
  static std::vector<std::string> With(
      const std::string& verb, const std::vector<std::string>& arguments) {
    return Over(GetParam(), verb, arguments);
  }
  static CommandResult Exec(const std::string& script) {
    return node_->Crictl(With("exec", {*container_, "sh", "-c", script}));
  }
};

INSTANTIATE_TEST_SUITE_P(Of, TransportE2eTest,
                         testing::Values("spdy", "websocket"),
                         [](const auto& info) { return info.param; });

TEST_P(TransportE2eTest, ExecKeepsTheStreamsApartAndPassesTheExitCode) {
  const CommandResult result = Exec("echo out; echo err >&2; exit 3");

  EXPECT_EQ(result.stdout_data, "out\n");
  EXPECT_THAT(result.stderr_data, HasSubstr("err\n"));
  EXPECT_THAT(result.stderr_data, HasSubstr("exit code 3"));
  EXPECT_NE(result.exit_code, 0);
}

TEST_P(TransportE2eTest, ExecLosesNothingOfALongOutput) {
  const CommandResult result = Exec("seq 100000");

  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.stdout_data.size(), 588895u);
  EXPECT_TRUE(result.stdout_data.ends_with("\n100000\n"));
}

TEST_P(TransportE2eTest, ExecReadsItsInputToTheEnd) {
  CrictlSession session(node_, Through::kPipes,
                        With("exec", {"-i", *container_, "wc", "-c"}));
  session.Say(std::string(300'000, 'x'));
  session.CloseInput();

  session.Await("300000\n");
  EXPECT_EQ(session.AwaitExit(), 0);
}

TEST_P(TransportE2eTest, ATerminalIsResizedAndEndsWithItsShell) {
  CrictlSession session(node_, Through::kTerminal,
                        With("exec", {"-it", *container_, "sh"}));
  const auto says_when_sized = [](const char* size) {
    return absl::StrCat("until [ \"$(stty size)\" = '", size,
                        "' ]; do :; done; echo i''s ", size, "\n");
  };
  session.Say("tty; echo $TERM\n" + says_when_sized("24 80"));
  session.Await("is 24 80\r\n");
  session.Say(says_when_sized("33 111"));
  session.Resize(111, 33);

  const std::string& heard = session.Await("is 33 111\r\n");
  EXPECT_THAT(heard, HasSubstr("/dev/pts/"));
  EXPECT_THAT(heard, HasSubstr("xterm\r\n"));
  session.Say("exit 5\n");
  EXPECT_NE(session.AwaitExit(), 0);
  session.Await("exit code 5");
}

TEST_P(TransportE2eTest, APeerHearsTheContainersLastWordAndItsEnd) {
  const std::string container = Run(absl::StrCat("last-", GetParam()),
                                    "read line; echo got $line; exit 0", true);
  CrictlSession session(node_, Through::kPipes,
                        With("attach", {"-i", container}));
  session.Say("word\n");

  session.Await("got word\n");
  EXPECT_EQ(session.AwaitExit(), 0);
}

}  // namespace
}  // namespace podvisor::e2e
