#include "cri/streaming/http_upgrade.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using testing::HasSubstr;

HttpHead Head(const std::string& protocols) {
  return {"POST",
          "/exec/t",
          {{"Host", "h:1"},
           {"connection", "keep-alive, Upgrade"},
           {"Upgrade", "SPDY/3.1"},
           {"X-Stream-Protocol-Version", protocols}}};
}

TEST(StreamPathTest, ReadsWhatItWrites) {
  for (const StreamKind kind :
       {StreamKind::kExec, StreamKind::kAttach, StreamKind::kPortForward}) {
    const auto parts = ParseStreamPath(StreamPath(kind, "t"));
    ASSERT_TRUE(parts.has_value());
    EXPECT_EQ(parts->kind, kind);
    EXPECT_EQ(parts->token, "t");
  }
  EXPECT_FALSE(ParseStreamPath("/metrics").has_value());
  EXPECT_FALSE(ParseStreamPath("exec/t").has_value());
}

TEST(UpgradeTest, TakesTheFirstProtocolOfTheClientThatIsKnown) {
  const UpgradeDecision decision = DecideUpgrade(
      Head("v5.channel.k8s.io, v4.channel.k8s.io,v3.channel.k8s.io"),
      StreamKind::kExec);

  EXPECT_EQ(decision.http_status, 101);
  EXPECT_EQ(decision.transport, StreamTransport::kSpdy);
  EXPECT_EQ(decision.protocol, "v4.channel.k8s.io");
  EXPECT_EQ(UpgradeAnswer(decision),
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
            "Upgrade: SPDY/3.1\r\n"
            "X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n");
}

TEST(UpgradeTest, ListsWhatIsKnownWhereNothingIsCommon) {
  const UpgradeDecision decision =
      DecideUpgrade(Head("v9"), StreamKind::kPortForward);

  EXPECT_EQ(decision.http_status, 403);
  EXPECT_THAT(UpgradeAnswer(decision),
              HasSubstr("X-Accepted-Stream-Protocol-Versions: "
                        "portforward.k8s.io\r\n"));
}

TEST(UpgradeTest, RefusesWhatIsNoUpgrade) {
  HttpHead plain = Head("v4.channel.k8s.io");
  plain.fields[1].second = "keep-alive";
  EXPECT_EQ(DecideUpgrade(plain, StreamKind::kExec).http_status, 400);
  HttpHead put = Head("v4.channel.k8s.io");
  put.method = "PUT";
  EXPECT_EQ(DecideUpgrade(put, StreamKind::kExec).http_status, 405);
  EXPECT_EQ(DecideUpgrade(Head(""), StreamKind::kExec).http_status, 400);
}

// RFC 6455 1.2, its example, with a protocol of ours.
HttpHead WebSocketHead(const std::string& protocols) {
  return {"GET",
          "/exec/t",
          {{"Host", "h:1"},
           {"Upgrade", "WebSocket"},
           {"Connection", "upgrade"},
           {"Origin", "http://a.console"},
           {"Sec-WebSocket-Version", "13"},
           {"Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="},
           {"Sec-WebSocket-Protocol", protocols}}};
}

TEST(WebSocketUpgradeTest, AnswersTheKeyAndNamesTheProtocol) {
  const UpgradeDecision decision = DecideUpgrade(
      WebSocketHead("v6.channel.k8s.io, v5.channel.k8s.io, v4.channel.k8s.io"),
      StreamKind::kAttach);

  EXPECT_EQ(decision.transport, StreamTransport::kWebSocket);
  EXPECT_EQ(decision.protocol, "v5.channel.k8s.io");
  EXPECT_EQ(UpgradeAnswer(decision),
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
            "Upgrade: websocket\r\n"
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
            "Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n");
}

TEST(WebSocketUpgradeTest, KnowsWhatClientsOffer) {
  for (const char* protocol :
       {"v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io",
        "channel.k8s.io", "base64.channel.k8s.io", ""}) {
    const UpgradeDecision decision =
        DecideUpgrade(WebSocketHead(protocol), StreamKind::kExec);
    EXPECT_EQ(decision.http_status, 101) << protocol;
    EXPECT_EQ(decision.protocol, protocol);
  }
  for (const char* protocol :
       {"SPDY/3.1+portforward.k8s.io", "v4.channel.k8s.io",
        "v4.base64.channel.k8s.io", ""}) {
    const UpgradeDecision decision =
        DecideUpgrade(WebSocketHead(protocol), StreamKind::kPortForward);
    EXPECT_EQ(decision.http_status, 101) << protocol;
    EXPECT_EQ(decision.protocol, protocol);
  }
}

TEST(WebSocketUpgradeTest, RefusesWhatItDoesNotKnow) {
  const auto status_with = [](const char* field, const std::string& value) {
    HttpHead head = WebSocketHead("v5.channel.k8s.io");
    for (auto& [name, old] : head.fields) {
      if (name == field) old = value;
    }
    return DecideUpgrade(head, StreamKind::kExec).http_status;
  };
  EXPECT_EQ(status_with("", ""), 101);
  EXPECT_EQ(status_with("Sec-WebSocket-Protocol", "chat"), 403);
  EXPECT_EQ(status_with("Sec-WebSocket-Version", "8"), 426);
  EXPECT_EQ(status_with("Sec-WebSocket-Version", ""), 426);
  EXPECT_EQ(status_with("Sec-WebSocket-Key", "c2hvcnQ="), 400);
  EXPECT_EQ(status_with("Sec-WebSocket-Key",
                        "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ=="),
            400);
  EXPECT_EQ(status_with("Connection", "keep-alive"), 400);
  EXPECT_EQ(status_with("Upgrade", "h2c"), 400);

  HttpHead post = WebSocketHead("v5.channel.k8s.io");
  post.method = "POST";
  EXPECT_EQ(DecideUpgrade(post, StreamKind::kExec).http_status, 405);
  for (const char* protocol : {"v5.channel.k8s.io", "portforward.k8s.io"}) {
    EXPECT_EQ(DecideUpgrade(WebSocketHead(protocol), StreamKind::kPortForward)
                  .http_status,
              403)
        << protocol;
  }
}

TEST(WebSocketUpgradeTest, TellsWhichVersionItSpeaks) {
  HttpHead head = WebSocketHead("v5.channel.k8s.io");
  head.fields[4].second = "7";

  EXPECT_THAT(UpgradeAnswer(DecideUpgrade(head, StreamKind::kExec)),
              HasSubstr("Sec-WebSocket-Version: 13\r\n"));
}

}  // namespace
}  // namespace podvisor
