// Exec, attach and port-forward through the real crictl, as a person at a node
// uses them, and what the daemon and the guest keep of them: nothing.

#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/process.h"
#include "e2e/crictl_node.h"
#include "e2e/crictl_session.h"
#include "e2e/streaming_fixture.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor::e2e {
namespace {

using testing::HasSubstr;
using Through = CrictlSession::Through;

class StreamingE2eTest : public StreamingFixture {
 protected:
  static CommandResult Exec(const std::string& script) {
    return node_->Crictl({"exec", *container_, "sh", "-c", script});
  }
};

// --- exec

TEST_F(StreamingE2eTest, TwoHundredExecsWithAndWithoutATerminalLeaveNothing) {
  ASSERT_EQ(Exec("echo first").stdout_data, "first\n");
  const Census before = Count();
  const GuestCensus guest = CountGuest();
  // Ten seconds later an exec ends though a child of it keeps the pipe.
  std::vector<std::jthread> held;
  for (int i = 0; i < 4; ++i) {
    held.emplace_back([] {
      EXPECT_EQ(Exec("tail -f /dev/null & echo started").stdout_data,
                "started\n");
    });
  }

  SideBySide(196, [](int i) {
    const std::string word = absl::StrCat("t", i);
    if (i % 8 < 4) {  // each lane does both
      EXPECT_EQ(Exec("echo " + word).stdout_data, word + "\n");
      return;
    }
    const bool is_there = i % 32 != 7;
    CrictlSession session(
        node_, Through::kTerminal,
        {"exec", "-it", *container_, is_there ? "echo" : "/nope", word});
    session.Await(is_there ? word + "\r\n" : "127");
    EXPECT_EQ(session.AwaitExit() == 0, is_there);
  });

  held.clear();
  Guest("killall tail");
  ExpectNothingLeft(before);
  ExpectNothingLeftInGuest(guest);
}

TEST_F(StreamingE2eTest, AProcessEndsWithItsClientAndNoOtherStreamDoes) {
  CrictlSession other(node_, Through::kPipes,
                      {"exec", "-i", *container_, "cat"});
  other.Say("before\n");
  other.Await("before\n");
  const Census before = Count();
  {
    CrictlSession session(
        node_, Through::kPipes,
        {"exec", *container_, "sh", "-c", "echo up; sleep 4321; true"});
    session.Await("up\n");
  }
  EXPECT_TRUE(AwaitTrue(absl::Seconds(30), [] { return !GuestRuns("4321"); }));
  ExpectNothingLeft(before);
  other.Say("after\n");
  other.Await("after\n");
}

TEST_F(StreamingE2eTest, AProcessThatTakesNoInputEndsWithItsClientToo) {
  const Census before = Count();
  {
    CrictlSession session(
        node_, Through::kPipes,
        {"exec", "-i", *container_, "sh", "-c", "echo up; sleep 4322; true"});
    session.Await("up\n");
    session.Say(std::string(1 << 20, 'x'));
  }
  EXPECT_TRUE(AwaitTrue(absl::Seconds(30), [] { return !GuestRuns("4322"); }));
  ExpectNothingLeft(before);
}

TEST_F(StreamingE2eTest, ACommandThatIsNotThereHasAnExitCode) {
  const CommandResult result = node_->Crictl({"exec", *container_, "/nope"});

  EXPECT_NE(result.exit_code, 0);
  EXPECT_THAT(result.stderr_data, HasSubstr("127"));
}

TEST_F(StreamingE2eTest, AContainerThatHasStoppedTakesNeitherExecNorAttach) {
  const std::string stopped = Run("stopped", "exit 0");
  node_->node().AwaitState(stopped, cri::CONTAINER_EXITED);

  for (const auto& arguments : std::vector<std::vector<std::string>>{
           {"exec", stopped, "true"}, {"attach", stopped}}) {
    const CommandResult result = node_->Crictl(arguments);
    EXPECT_NE(result.exit_code, 0);
    EXPECT_THAT(result.stderr_data, HasSubstr("not running"));
  }
}

// --- attach

TEST_F(StreamingE2eTest, AHundredPeersComeAndGoAndTheContainerStays) {
  const std::string piped = Run("piped", "exec cat", true);
  const std::string terminal = Run("terminal", "exec cat", true, true);
  Census before;
  GuestCensus guest;
  // The first pair does not count.
  for (int i = 0; i <= 50; ++i) {
    if (i == 1) {
      before = Count();
      guest = CountGuest();
    }
    CrictlSession one(node_, Through::kPipes, {"attach", "-i", piped});
    CrictlSession two(node_, Through::kTerminal, {"attach", "-it", terminal});
    one.Say(absl::StrCat("one ", i, "\n"));
    two.Say(absl::StrCat("two ", i, "\n"));
    // Nothing of the peers before.
    EXPECT_EQ(one.Await("\n"), absl::StrCat("one ", i, "\n"));
    // What is typed, and what cat makes of it.
    const std::string twice = absl::StrCat("two ", i, "\r\n");
    EXPECT_EQ(two.Await(twice + twice), twice + twice);
  }
  ExpectNothingLeft(before);
  ExpectNothingLeftInGuest(guest);
  for (const std::string& id : {piped, terminal}) {
    EXPECT_EQ(node_->node().Status(id).state(), cri::CONTAINER_RUNNING);
  }
  node_->node().StopContainer(piped);
  node_->node().StopContainer(terminal);
}

// --- port-forward

TEST_F(StreamingE2eTest, AServerOnTheGuestsLoopbackIsReachedOnlyByForwarding) {
  Guest(
      "mkdir -p /tmp/www; echo hello >/tmp/www/name; "
      "httpd -p 127.0.0.1:8080 -h /tmp/www");
  cri::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(*pod_);
  cri::PodSandboxStatusResponse response;
  Call call;
  ASSERT_TRUE(
      node_->node().runtime().PodSandboxStatus(&call, request, &response).ok());
  const std::string ip = response.status().network().ip();
  ASSERT_NE(ip, "");
  const Census before = Count();
  {
    CrictlSession forwarding(node_, Through::kPipes,
                             {"port-forward", *pod_, ":8080"});
    const std::string url =
        absl::StrCat("curl -s --max-time 30 http://", AddressOf(forwarding));
    for (int i = 0; i < 10; ++i) EXPECT_EQ(Host(url + "/name"), "hello\n");
    EXPECT_EQ(Host(absl::StrCat("curl -s --max-time 10 http://", ip,
                                ":8080/name; echo $?")),
              "7\n");  // refused
  }
  ExpectNothingLeft(before);
}

TEST_F(StreamingE2eTest,
       APortWhereNobodyListensIsToldAndServedOnceSomebodyDoes) {
  CrictlSession forwarding(node_, Through::kPipes,
                           {"port-forward", *pod_, ":8085"});
  const std::string fetch = absl::StrCat("curl -s --max-time 30 http://",
                                         AddressOf(forwarding), "/name");
  EXPECT_EQ(Host(fetch), "");
  forwarding.Await("Connection refused");
  Guest(
      "mkdir -p /tmp/late; echo late >/tmp/late/name; "
      "httpd -p 127.0.0.1:8085 -h /tmp/late");

  CrictlSession again(node_, Through::kPipes, {"port-forward", *pod_, ":8085"});
  EXPECT_EQ(Host(absl::StrCat("curl -s --max-time 30 http://", AddressOf(again),
                              "/name")),
            "late\n");
}

TEST_F(StreamingE2eTest, SixtyFourMebibytesGoBothWaysAtOnceUnchanged) {
  ExpectBothWaysUnchanged(64, "spdy");
}

}  // namespace
}  // namespace podvisor::e2e
