// The streaming server as a WebSocket's client sees it: what it has in common
// with SPDY's is in stream_server_test.

#include <atomic>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "cri/streaming/channel_test_client.h"
#include "cri/streaming/stream_server_fixture.h"
#include "cri/streaming/websocket_client_frame.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using testing::HasSubstr;
using testing::StartsWith;
using Kind = StreamPeer::Input::Kind;

class WebSocketServerTest : public StreamServerTest {};

TEST_F(WebSocketServerTest, V5CarriesInputToItsEndAndTheOutputBack) {
  backend_.script = Echo;
  Start();
  ChannelClient client(server_->address());

  EXPECT_THAT(client.Upgrade(ExecUrl({.in = true, .out = true}), kV5),
              HasSubstr("Sec-WebSocket-Protocol: v5.channel.k8s.io"));
  client.Send(absl::string_view("\0hello ", 7));
  client.Send(absl::string_view("\0world", 6), kTextFrame);
  client.CloseStdin();

  EXPECT_EQ(client.HearToTheEnd(), 1000);
  EXPECT_EQ(client.carried(1), "hello world");
  EXPECT_EQ(client.carried(3), "{\"status\":\"Success\"}");
  EXPECT_FALSE(client.Hear()) << "the server ends the connection";
}

TEST_F(WebSocketServerTest, TellsTheExitCodeAndKeepsTheOutputsApart) {
  backend_.script = [](StreamPeer* peer) -> absl::StatusOr<int> {
    EXPECT_TRUE(peer->TakeOutput(false, std::string(100'000, 'o')).ok());
    EXPECT_TRUE(peer->TakeOutput(true, "no\n").ok());
    return 7;
  };
  Start();
  for (const char* protocol : {kV5, kV4, kBase64}) {
    ChannelClient client(server_->address());
    client.Upgrade(ExecUrl({.out = true, .err = true}), protocol);

    EXPECT_EQ(client.HearToTheEnd(), 1000) << protocol;
    EXPECT_EQ(client.carried(1), std::string(100'000, 'o')) << protocol;
    EXPECT_EQ(client.carried(2), "no\n") << protocol;
    EXPECT_THAT(client.carried(3), HasSubstr("\"message\":\"7\"")) << protocol;
  }
}

TEST_F(WebSocketServerTest, TheOldestProtocolsTellFailuresInPlainText) {
  backend_.script = [](StreamPeer* peer) -> absl::StatusOr<int> {
    const StreamPeer::Input input = peer->NextInput();
    return input.data == "fail" ? 1 : 0;
  };
  Start();
  for (const char* protocol : {"", "channel.k8s.io", "base64.channel.k8s.io"}) {
    const bool base64 = absl::StartsWith(protocol, "base64");
    ChannelClient one(server_->address());
    EXPECT_THAT(one.Upgrade(ExecUrl({.in = true}), protocol),
                StartsWith("HTTP/1.1 101"));
    one.Send(base64 ? "0ZmFpbA==" : absl::string_view("\0fail", 5));
    EXPECT_EQ(one.HearToTheEnd(), 1000) << protocol;
    EXPECT_EQ(one.carried(3), "command terminated with non-zero exit code: 1");

    ChannelClient two(server_->address());
    two.Upgrade(ExecUrl({.in = true}), protocol);
    two.Send(base64 ? "0b2s=" : absl::string_view("\0ok", 3));
    EXPECT_EQ(two.HearToTheEnd(), 1000) << protocol;
    EXPECT_EQ(two.carried(3), "");
  }
}

TEST_F(WebSocketServerTest, GreetsOnTheFirstChannelThatCarriesOutput) {
  backend_.script = Echo;
  Start();
  const std::vector<std::pair<ProcessStreams, std::string>> greetings = {
      {{.in = true, .out = true, .err = true}, "\x82\x01\x01"},
      {{.in = true, .err = true}, "\x82\x01\x02"},
      {{.in = true}, "\x82\x01\x03"}};
  for (const auto& [streams, greeting] : greetings) {
    RawClient client(server_->address());
    client.Say(UpgradeRequest(ExecUrl(streams), kV4));
    client.HearHead();
    EXPECT_EQ(client.HearBytes(3), greeting);
  }
}

TEST_F(WebSocketServerTest, ResizesTheTerminal) {
  backend_.script = [](StreamPeer* peer) -> absl::StatusOr<int> {
    const StreamPeer::Input input = peer->NextInput();
    EXPECT_EQ(input.kind, Kind::kResize);
    return input.width;
  };
  Start();
  ChannelClient client(server_->address());
  client.Upgrade(ExecUrl({.in = true, .out = true, .tty = true}), kV5);
  client.Send("\x04{\"Width\":80,\"Height\":24}");

  client.HearToTheEnd();
  EXPECT_THAT(client.carried(3), HasSubstr("\"message\":\"80\""));
}

TEST_F(WebSocketServerTest, IgnoresChannelsThatWereNotAskedFor) {
  backend_.script = Echo;
  Start();
  ChannelClient client(server_->address());
  client.Upgrade(ExecUrl({.in = true, .out = true}), kV5);
  client.Send("\x04{}");
  client.Send("\x01mine");
  client.Send("\x20what");
  client.Send("\xff\x03");
  client.Send("");
  client.Send(absl::string_view("\0in", 3));
  client.CloseStdin();

  EXPECT_EQ(client.HearToTheEnd(), 1000);
  EXPECT_EQ(client.carried(1), "in");
}

TEST_F(WebSocketServerTest, AnswersPingsWhileACommandRuns) {
  backend_.script = Echo;
  Start();
  ChannelClient client(server_->address());
  client.Upgrade(ExecUrl({.in = true, .out = true}), kV4);
  client.Send("beat", kPingFrame);

  while (client.pongs().empty() && client.HearFrame()) {
  }
  EXPECT_EQ(client.pongs(), "beat");
}

// More than waits anywhere for a guest that takes none of it.
constexpr size_t kTooMuch = 600 << 10;

TEST_F(WebSocketServerTest, AClientWhoseInputIsNotTakenIsToldThatItIsServed) {
  absl::Notification heard;
  backend_.script = [&](StreamPeer*) -> absl::StatusOr<int> {
    heard.WaitForNotification();
    return 0;
  };
  Start();
  ChannelClient client(server_->address());
  client.Upgrade(ExecUrl({.in = true}), kV5);
  client.Send(std::string(kTooMuch, '\0'));

  // A pong that answers nothing: the pings are stuck behind the input.
  EXPECT_TRUE(client.HearFrame() && client.HearFrame());
  heard.Notify();
  EXPECT_EQ(client.HearToTheEnd(), 1000);
}

TEST_F(WebSocketServerTest, HangsUpWhenItsClientClosesOrLeaves) {
  Start();
  for (const bool says_so : {true, false}) {
    absl::Notification started;
    absl::Notification gone;
    backend_.script = [&](StreamPeer* peer) -> absl::StatusOr<int> {
      started.Notify();
      EXPECT_EQ(peer->NextInput().kind, Kind::kGone);
      gone.Notify();
      return absl::CancelledError("");
    };
    ChannelClient client(server_->address());
    client.Upgrade(ExecUrl({.in = true, .out = true}), kV5);
    started.WaitForNotification();

    if (says_so) {
      client.Send("\x03\xe8", kCloseFrame);
      EXPECT_EQ(client.HearToTheEnd(), 1000);
    } else {
      client.Close();
    }
    EXPECT_TRUE(gone.WaitForNotificationWithTimeout(absl::Seconds(20)));
    // Nobody uses what this round has on its stack any more.
    server_.reset();
    Start();
  }
}

// Its FIN is stuck behind its input; only what is sent to it meets a reset.
TEST_F(WebSocketServerTest, HangsUpOnACommandThatTakesNoInput) {
  absl::Notification started;
  absl::Notification gone;
  backend_.script = [&](StreamPeer* peer) -> absl::StatusOr<int> {
    peer->OnGone([&] { gone.Notify(); });
    started.Notify();
    gone.WaitForNotification();
    return absl::CancelledError("");
  };
  Start();
  ChannelClient client(server_->address());
  client.Upgrade(ExecUrl({.in = true}), kV5);
  ASSERT_TRUE(client.HearFrame());  // or its end would be a reset at once
  client.Send(std::string(kTooMuch, '\0'));
  started.WaitForNotification();

  client.Close();

  EXPECT_TRUE(gone.WaitForNotificationWithTimeout(absl::Seconds(20)));
}

TEST_F(WebSocketServerTest, ClosesOnWhatBreaksTheProtocolAndSaysSo) {
  backend_.script = Echo;
  Start();
  for (const auto& [protocol, bytes] : std::map<std::string, std::string>{
           {kV5, WebSocketClientFrame(kBinaryFrame, "\xff")},
           {kV4,
            "\x82\x03"
            "abc"},
           {kBase64, WebSocketClientFrame(kTextFrame, "0!!!!")}}) {
    ChannelClient client(server_->address());
    client.Upgrade(ExecUrl({.in = true, .out = true}), protocol);
    client.Say(bytes);

    EXPECT_EQ(client.HearToTheEnd(), 1002) << protocol;
    EXPECT_FALSE(client.Hear());
  }
}

TEST_F(WebSocketServerTest, SaysWhatBrokeTheProtocolAlsoInTheMiddleOfOutput) {
  backend_.script = [](StreamPeer* peer) -> absl::StatusOr<int> {
    std::atomic<bool> gone = false;
    peer->OnGone([&gone] { gone = true; });
    const std::string output(32 << 10, 'x');
    while (!gone && peer->TakeOutput(false, output).ok()) {
    }
    peer->OnGone(nullptr);
    return absl::CancelledError("");
  };
  Start();
  ChannelClient client(server_->address());
  client.Upgrade(ExecUrl({.in = true, .out = true}), kV5);
  client.HearData(1, 1 << 20);

  client.Say("\x82\x01x");  // without a mask

  EXPECT_EQ(client.HearToTheEnd(), 1002);
}

TEST_F(WebSocketServerTest, SaysWhatIsTooLargeToAClientThatGoesOnSending) {
  backend_.script = [](StreamPeer* peer) -> absl::StatusOr<int> {
    while (peer->NextInput().kind != Kind::kGone) {
    }
    return absl::CancelledError("");
  };
  Start();
  ChannelClient client(server_->address());
  client.Upgrade(ExecUrl({.in = true, .out = true}), kV5);

  // A frame of 2^32 bytes, and the first MiB of them.
  client.Say(std::string("\x82\xff\0\0\0\1\0\0\0\0mask", 14) +
             std::string(1 << 20, 'x'));

  EXPECT_EQ(client.HearToTheEnd(), 1009);
}

TEST_F(WebSocketServerTest, EndsWhileACommandRuns) {
  absl::Notification started;
  backend_.script = [&](StreamPeer* peer) -> absl::StatusOr<int> {
    started.Notify();
    EXPECT_EQ(peer->NextInput().kind, Kind::kGone);
    return absl::CancelledError("");
  };
  Start();
  ChannelClient client(server_->address());
  client.Upgrade(ExecUrl({.out = true}), kV5);
  started.WaitForNotification();

  server_.reset();

  EXPECT_EQ(client.HearToTheEnd(), 1000);
  EXPECT_THAT(client.carried(3), HasSubstr("podvisord ends"));
}

TEST_F(WebSocketServerTest, ClosesAClientThatIsSilentForTooLong) {
  StreamServerOptions options;
  options.idle = absl::Milliseconds(50);
  backend_.script = Echo;
  Start(options);
  ChannelClient client(server_->address());
  client.Upgrade(ExecUrl({.in = true, .out = true}), kV5);

  client.HearToTheEnd();
  EXPECT_FALSE(client.Hear());
}

TEST_F(WebSocketServerTest, RefusesATokenThatWasUsedOrIsForAnotherKind) {
  Start();
  const std::string url = ExecUrl({.out = true});
  ChannelClient first(server_->address());
  EXPECT_THAT(first.Upgrade(url, kV5), StartsWith("HTTP/1.1 101"));

  ChannelClient second(server_->address());
  EXPECT_THAT(second.Upgrade(url, kV5), StartsWith("HTTP/1.1 404"));
  ChannelClient third(server_->address());
  EXPECT_THAT(third.Upgrade(ForwardUrl({80}), kV5), StartsWith("HTTP/1.1 403"));
}

}  // namespace
}  // namespace podvisor
