// Exec, attach and port-forward through the real crictl over WebSocket:
// v5.channel.k8s.io, and SPDY in a tunnel. transport_e2e_test has what is the
// same over SPDY.

#include <string>
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

using Through = CrictlSession::Through;

class WebSocketE2eTest : public StreamingFixture {
 protected:
  // crictl's arguments for `verb`.
  static std::vector<std::string> With(
      const std::string& verb, const std::vector<std::string>& arguments) {
    return Over("websocket", verb, arguments);
  }
};

TEST_F(WebSocketE2eTest, AProcessEndsWithItsClientAlsoWhenItTakesNoInput) {
  const Census before = Count();
  {
    CrictlSession idle(
        node_, Through::kPipes,
        With("exec", {*container_, "sh", "-c", "echo up; sleep 4331; true"}));
    CrictlSession full(node_, Through::kPipes,
                       With("exec", {"-i", *container_, "sh", "-c",
                                     "echo up; sleep 4332; true"}));
    idle.Await("up\n");
    full.Await("up\n");
    full.Say(std::string(1 << 20, 'x'));
  }
  EXPECT_TRUE(AwaitTrue(absl::Seconds(30), [] {
    return !GuestRuns("4331") && !GuestRuns("4332");
  }));
  ExpectNothingLeft(before);
}

TEST_F(WebSocketE2eTest, PeersAttachAndLeaveAndTheContainerStays) {
  const std::string piped = Run("piped", "exec cat", true);
  const std::string terminal = Run("terminal", "exec cat", true, true);
  Census before;
  for (int i = 0; i <= 5; ++i) {
    if (i == 1) before = Count();
    CrictlSession one(node_, Through::kPipes, With("attach", {"-i", piped}));
    CrictlSession two(node_, Through::kTerminal,
                      With("attach", {"-it", terminal}));
    one.Say(absl::StrCat("one ", i, "\n"));
    two.Say(absl::StrCat("two ", i, "\n"));
    EXPECT_EQ(one.Await("\n"), absl::StrCat("one ", i, "\n"));
    // What is typed, and what cat makes of it.
    const std::string twice = absl::StrCat("two ", i, "\r\n");
    EXPECT_EQ(two.Await(twice + twice), twice + twice);
  }
  ExpectNothingLeft(before);
  for (const std::string& id : {piped, terminal}) {
    EXPECT_EQ(node_->node().Status(id).state(), cri::CONTAINER_RUNNING);
    node_->node().StopContainer(id);
  }
}

TEST_F(WebSocketE2eTest, AServerOnTheGuestsLoopbackIsReachedThroughATunnel) {
  Guest(
      "mkdir -p /tmp/www; echo hello >/tmp/www/name; "
      "httpd -p 127.0.0.1:8080 -h /tmp/www");
  const Census before = Count();
  {
    CrictlSession forwarding(node_, Through::kPipes,
                             With("port-forward", {*pod_, ":8080"}));
    const std::string url =
        absl::StrCat("curl -s --max-time 30 http://", AddressOf(forwarding));
    for (int i = 0; i < 5; ++i) EXPECT_EQ(Host(url + "/name"), "hello\n");
  }
  ExpectNothingLeft(before);
}

TEST_F(WebSocketE2eTest, APortWhereNobodyListensIsToldThroughATunnel) {
  CrictlSession forwarding(node_, Through::kPipes,
                           With("port-forward", {*pod_, ":8085"}));
  EXPECT_EQ(Host(absl::StrCat("curl -s --max-time 30 http://",
                              AddressOf(forwarding), "/name")),
            "");
  forwarding.Await("Connection refused");
}

TEST_F(WebSocketE2eTest, SixteenMebibytesGoBothWaysThroughTunnelsUnchanged) {
  ExpectBothWaysUnchanged(16, "websocket");
}

}  // namespace
}  // namespace podvisor::e2e
