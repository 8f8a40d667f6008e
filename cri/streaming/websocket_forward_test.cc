// Port-forward over WebSocket, as its clients see it.

#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "cri/streaming/channel_test_client.h"
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

constexpr char kTunnel[] = "SPDY/3.1+portforward.k8s.io";

class WebSocketForwardTest : public StreamServerTest {};

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

TEST_F(WebSocketForwardTest, ATunnelCarriesConnectionsSideBySide) {
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

TEST_F(WebSocketForwardTest, ATunnelTellsThatNobodyListens) {
  backend_.script = [](StreamPeer*) -> absl::StatusOr<int> {
    return absl::FailedPreconditionError("port 80: refused");
  };
  Start();
  TunnelClient client(server_->address());
  client.UpgradeToTunnel(ForwardUrl());
  OpenPair(&client, 1, "0");

  EXPECT_EQ(client.HearUntilEndOf(1).at(1), "port 80: refused");
}

TEST_F(WebSocketForwardTest, ATunnelsConnectionsEndWithIt) {
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

TEST_F(WebSocketForwardTest, ATunnelsPairsMustBeCompleteInTime) {
  StreamServerOptions options;
  options.creation = absl::Milliseconds(20);
  Start(options);
  TunnelClient client(server_->address());
  client.UpgradeToTunnel(ForwardUrl());
  client.Open(1, {{"streamtype", "error"}, {"port", "80"}, {"requestid", "0"}});

  EXPECT_EQ(client.HearUntilEndOf(1).count(1), 0u) << "reset, with no word";
}

// --- port-forward of before the tunnel: two channels for each port

TEST_F(WebSocketForwardTest, PortsOfTheRequestAreForwardedOnTheirOwnChannels) {
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

TEST_F(WebSocketForwardTest, AForwardOfPortsEndsWithTheLastOfThem) {
  backend_.script = [](StreamPeer* peer) -> absl::StatusOr<int> {
    const StreamPeer::Input input = peer->NextInput();
    if (input.data == "fail") return absl::FailedPreconditionError("refused");
    EXPECT_TRUE(peer->TakeOutput(false, "last").ok());
    EXPECT_TRUE(peer->TakeOutput(false, "").ok());
    // As an agent does; these protocols have no word for it.
    EXPECT_EQ(peer->NextInput().kind, Kind::kEndOfData);
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

TEST_F(WebSocketForwardTest, ForwardedPortsAreHungUpOnWithTheirClient) {
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

TEST_F(WebSocketForwardTest, AForwardOfNoPortsIsRefusedInWords) {
  Start();
  ChannelClient client(server_->address());

  EXPECT_THAT(client.Upgrade(ForwardUrl(), kV4), StartsWith("HTTP/1.1 400"));
}

}  // namespace
}  // namespace podvisor
