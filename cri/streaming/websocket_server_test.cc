// The streaming server as a WebSocket's client sees it: what it has in common
// with SPDY's is in stream_server_test.

#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "cri/streaming/spdy_test_client.h"
#include "cri/streaming/stream_server_fixture.h"
#include "cri/streaming/websocket_client_frame.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using testing::HasSubstr;
using testing::StartsWith;
using Kind = StreamPeer::Input::Kind;

constexpr char kV5[] = "v5.channel.k8s.io";
constexpr char kV4[] = "v4.channel.k8s.io";
constexpr char kBase64[] = "v4.base64.channel.k8s.io";
constexpr char kTunnel[] = "SPDY/3.1+portforward.k8s.io";

std::string UpgradeRequest(const std::string& url,
                           const std::string& protocol) {
  const size_t path = url.find('/', strlen("http://"));
  return absl::StrCat(
      "GET ", url.substr(path), " HTTP/1.1\r\nHost: h\r\n",
      "Connection: Upgrade\r\nUpgrade: websocket\r\n",
      "Origin: https://a.console\r\nSec-WebSocket-Version: 13\r\n",
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
      protocol.empty()
          ? ""
          : absl::StrCat("Sec-WebSocket-Protocol: ", protocol, "\r\n"),
      "\r\n");
}

struct ServerFrame {
  uint8_t first = 0;
  std::string payload;
};

// Takes a frame of the server's off the begin of what was heard.
std::optional<ServerFrame> TakeServerFrame(std::string* heard) {
  if (heard->size() < 2) return std::nullopt;
  const auto byte = [&](size_t at) {
    return static_cast<size_t>(static_cast<uint8_t>((*heard)[at]));
  };
  size_t head = 2;
  size_t size = byte(1);  // never masked
  if (size == 126) {
    if (heard->size() < 4) return std::nullopt;
    head = 4;
    size = byte(2) << 8 | byte(3);
  }
  EXPECT_LE(size, UINT16_MAX) << "not a message that the server sends";
  if (heard->size() < head + size) return std::nullopt;
  ServerFrame frame = {static_cast<uint8_t>(byte(0)),
                       heard->substr(head, size)};
  heard->erase(0, head + size);
  return frame;
}

// A client of the channel protocols.
class ChannelClient : public RawClient {
 public:
  using RawClient::RawClient;

  std::string Upgrade(const std::string& url, const std::string& protocol) {
    Say(UpgradeRequest(url, protocol));
    return HearHead();
  }
  void Send(absl::string_view message, uint8_t first = kBinaryFrame) {
    Say(WebSocketClientFrame(first, message));
  }
  void CloseStdin() { Send(absl::string_view("\xff\0", 2)); }

  // Takes frames until the server's close frame or the connection's end; its
  // code, 0: there was none.
  int HearToTheEnd() {
    while (!close_code_.has_value() && HearFrame()) {
    }
    return close_code_.value_or(0);
  }
  // ... until so many bytes have come on a channel.
  const std::string& HearData(int channel, size_t bytes) {
    while (carried_[channel].size() < bytes && HearFrame()) {
    }
    return carried_[channel];
  }
  const std::string& carried(int channel) { return carried_[channel]; }
  const std::string& pongs() const { return pongs_; }

  // False at the end of the connection.
  bool HearFrame() {
    std::optional<ServerFrame> frame = TakeServerFrame(&heard_);
    while (!frame.has_value()) {
      if (!Hear()) return false;
      frame = TakeServerFrame(&heard_);
    }
    const std::string& payload = frame->payload;
    if (frame->first == kBinaryFrame) {
      carried_[payload[0]] += payload.substr(1);
    } else if (frame->first == kTextFrame) {
      std::string data;
      EXPECT_TRUE(absl::Base64Unescape(payload.substr(1), &data));
      carried_[payload[0] - '0'] += data;
    } else if (frame->first == kPongFrame) {
      pongs_ += payload;
    } else {
      EXPECT_EQ(frame->first, kCloseFrame);
      close_code_ = static_cast<uint8_t>(payload[0]) << 8 |
                    static_cast<uint8_t>(payload[1]);
    }
    return true;
  }

 private:
  std::map<int, std::string> carried_;
  std::string pongs_;
  std::optional<int> close_code_;
};

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

// --- port-forward: SPDY in the messages of a WebSocket

class TunnelClient : public SpdyTestClient {
 public:
  using SpdyTestClient::SpdyTestClient;

  std::string UpgradeToTunnel(const std::string& url) {
    Say(UpgradeRequest(url, kTunnel));
    const std::string head = HearHead();
    is_tunnel_ = true;
    frames_ = std::exchange(heard_, "");
    return head;
  }

  // Messages end anywhere in SPDY's frames.
  void Say(absl::string_view bytes) override {
    if (!is_tunnel_) return SpdyTestClient::Say(bytes);
    while (!bytes.empty()) {
      const absl::string_view message = bytes.substr(0, 5000);
      SpdyTestClient::Say(WebSocketClientFrame(kBinaryFrame, message));
      bytes.remove_prefix(message.size());
    }
  }
  bool Hear() override {
    if (!is_tunnel_) return SpdyTestClient::Hear();
    std::string spdy = std::exchange(heard_, "");
    std::optional<ServerFrame> frame = TakeServerFrame(&frames_);
    while (!frame.has_value()) {
      const bool more = SpdyTestClient::Hear();
      frames_ += std::exchange(heard_, "");
      if (!more) break;
      frame = TakeServerFrame(&frames_);
    }
    if (frame.has_value() && frame->first == kBinaryFrame) {
      spdy += frame->payload;
    }
    heard_ = spdy;
    return frame.has_value() && frame->first == kBinaryFrame;
  }

  void SayClose() {
    SpdyTestClient::Say(WebSocketClientFrame(kCloseFrame, "\x03\xe8"));
  }

 private:
  bool is_tunnel_ = false;
  std::string frames_;
};

void OpenPair(TunnelClient* client, uint32_t error, const std::string& id) {
  client->Open(error,
               {{"streamtype", "error"}, {"port", "80"}, {"requestid", id}});
  client->Open(error + 2,
               {{"streamtype", "data"}, {"port", "80"}, {"requestid", id}});
}

TEST_F(WebSocketServerTest, ATunnelCarriesConnectionsSideBySide) {
  backend_.script = Echo;
  Start();
  TunnelClient client(server_->address());
  EXPECT_THAT(client.UpgradeToTunnel(ForwardUrl()),
              HasSubstr("Sec-WebSocket-Protocol: SPDY/3.1+portforward.k8s.io"));
  OpenPair(&client, 1, "0");
  OpenPair(&client, 5, "1");
  const std::string much(50'000, 'm');
  client.Data(3, "one");
  client.Data(7, much, true);

  EXPECT_EQ(client.HearUntilEndOf(7).at(7), much);
  EXPECT_EQ(client.HearData(3, 3), "one");
  EXPECT_EQ(backend_.last_port, 80);
}

TEST_F(WebSocketServerTest, ATunnelTellsThatNobodyListens) {
  backend_.script = [](StreamPeer*) -> absl::StatusOr<int> {
    return absl::FailedPreconditionError("port 80: refused");
  };
  Start();
  TunnelClient client(server_->address());
  client.UpgradeToTunnel(ForwardUrl());
  OpenPair(&client, 1, "0");

  EXPECT_EQ(client.HearUntilEndOf(1).at(1), "port 80: refused");
}

TEST_F(WebSocketServerTest, ATunnelsConnectionsEndWithIt) {
  absl::Notification started;
  absl::Notification gone;
  backend_.script = [&](StreamPeer* peer) -> absl::StatusOr<int> {
    started.Notify();
    EXPECT_EQ(peer->NextInput().kind, Kind::kGone);
    gone.Notify();
    return absl::CancelledError("");
  };
  Start();
  TunnelClient client(server_->address());
  client.UpgradeToTunnel(ForwardUrl());
  OpenPair(&client, 1, "0");
  started.WaitForNotification();

  client.SayClose();

  EXPECT_TRUE(gone.WaitForNotificationWithTimeout(absl::Seconds(20)));
}

TEST_F(WebSocketServerTest, ATunnelsPairsMustBeCompleteInTime) {
  StreamServerOptions options;
  options.creation = absl::Milliseconds(20);
  Start(options);
  TunnelClient client(server_->address());
  client.UpgradeToTunnel(ForwardUrl());
  client.Open(1, {{"streamtype", "error"}, {"port", "80"}, {"requestid", "0"}});

  EXPECT_EQ(client.HearUntilEndOf(1).count(1), 0u) << "reset, with no word";
}

// --- port-forward of before the tunnel: two channels for each port

TEST_F(WebSocketServerTest, PortsOfTheRequestAreForwardedOnTheirOwnChannels) {
  backend_.script = Echo;
  Start();
  for (const char* protocol : {kV4, kBase64, ""}) {
    const bool base64 = protocol == kBase64;
    ChannelClient client(server_->address());
    EXPECT_THAT(client.Upgrade(ForwardUrl({80, 0x1234}), protocol),
                StartsWith("HTTP/1.1 101"));
    client.Send(base64 ? "0b25l" : absl::string_view("\0one", 4));
    client.Send(base64 ? "2dHdv" : "\x02two");

    using namespace std::string_literals;
    EXPECT_EQ(client.HearData(0, 5), "\x50\0one"s) << protocol;
    EXPECT_EQ(client.HearData(2, 5), "\x34\x12two") << protocol;
    EXPECT_EQ(client.carried(1), "\x50\0"s);
    EXPECT_EQ(client.carried(3), "\x34\x12");
  }
}

TEST_F(WebSocketServerTest, AForwardOfPortsEndsWithTheLastOfThem) {
  backend_.script = [](StreamPeer* peer) -> absl::StatusOr<int> {
    const StreamPeer::Input input = peer->NextInput();
    if (input.data == "fail") return absl::FailedPreconditionError("refused");
    EXPECT_TRUE(peer->TakeOutput(false, "last").ok());
    EXPECT_TRUE(peer->TakeOutput(false, "").ok());
    return 0;
  };
  Start();
  ChannelClient client(server_->address());
  client.Upgrade(ForwardUrl({80, 81}), kV4);
  client.Send(
      "\x02"
      "fail");
  EXPECT_THAT(client.HearData(3, 9), HasSubstr("refused"));
  client.Send("\x05what");
  client.Send(absl::string_view("\0go", 3));

  EXPECT_EQ(client.HearToTheEnd(), 1000);
  EXPECT_THAT(client.carried(0), HasSubstr("last"));
}

TEST_F(WebSocketServerTest, ForwardedPortsAreHungUpOnWithTheirClient) {
  absl::Notification gone;
  backend_.script = [&](StreamPeer* peer) -> absl::StatusOr<int> {
    EXPECT_EQ(peer->NextInput().kind, Kind::kGone);
    gone.Notify();
    return absl::CancelledError("");
  };
  Start();
  ChannelClient client(server_->address());
  client.Upgrade(ForwardUrl({80}), kV4);
  client.HearData(1, 2);

  client.Close();

  EXPECT_TRUE(gone.WaitForNotificationWithTimeout(absl::Seconds(20)));
}

TEST_F(WebSocketServerTest, AForwardOfNoPortsIsRefusedInWords) {
  Start();
  ChannelClient client(server_->address());

  EXPECT_THAT(client.Upgrade(ForwardUrl(), kV4), StartsWith("HTTP/1.1 400"));
}

}  // namespace
}  // namespace podvisor
