#include "cri/streaming/http_upgrade.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using testing::HasSubstr;
using State = HttpHeadResult::State;

HttpHead Head(const std::string& protocols) {
  return {"POST",
          "/exec/t",
          {{"Host", "h:1"},
           {"connection", "keep-alive, Upgrade"},
           {"Upgrade", "SPDY/3.1"},
           {"X-Stream-Protocol-Version", protocols}}};
}

TEST(HttpHeadTest, EndsBeforeTheUpgradedProtocol) {
  const std::string head = "GET /exec/t HTTP/1.1\r\nHost: h\r\n\r\n";

  const HttpHeadResult result = ParseHttpHead(head + "\x80\x03");

  ASSERT_EQ(result.state, State::kComplete);
  EXPECT_EQ(result.head_bytes, head.size());
  EXPECT_EQ(result.head.target, "/exec/t");
}

TEST(HttpHeadTest, IsIncompleteAtEveryCut) {
  const std::string head = "GET /exec/t HTTP/1.1\r\nHost: h\r\n\r\n";
  for (size_t size = 1; size < head.size(); ++size) {
    EXPECT_EQ(ParseHttpHead(head.substr(0, size)).state, State::kIncomplete);
  }
}

TEST(HttpHeadTest, RefusesBodiesAndContradictions) {
  for (const char* fields :
       {"Content-Length: 5\r\n", "Content-Length: 1\r\nContent-Length: 2\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
        "no colon\r\n"}) {
    EXPECT_EQ(
        ParseHttpHead(absl::StrCat("POST /exec/t HTTP/1.1\r\n", fields, "\r\n"))
            .state,
        State::kBad)
        << fields;
  }
  EXPECT_EQ(ParseHttpHead(std::string(kMaxHeadBytes + 1, 'a')).state,
            State::kBad);
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
  const UpgradeDecision decision = DecideSpdyUpgrade(
      Head("v5.channel.k8s.io, v4.channel.k8s.io,v3.channel.k8s.io"),
      StreamKind::kExec);

  EXPECT_EQ(decision.http_status, 101);
  EXPECT_EQ(decision.protocol, "v4.channel.k8s.io");
}

TEST(UpgradeTest, ListsWhatIsKnownWhereNothingIsCommon) {
  const UpgradeDecision decision =
      DecideSpdyUpgrade(Head("v9"), StreamKind::kPortForward);

  EXPECT_EQ(decision.http_status, 403);
  EXPECT_THAT(UpgradeAnswer(decision, StreamKind::kPortForward),
              HasSubstr("X-Accepted-Stream-Protocol-Versions: "
                        "portforward.k8s.io\r\n"));
}

TEST(UpgradeTest, RefusesWhatIsNoUpgrade) {
  HttpHead plain = Head("v4.channel.k8s.io");
  plain.fields[1].second = "keep-alive";
  EXPECT_EQ(DecideSpdyUpgrade(plain, StreamKind::kExec).http_status, 400);
  HttpHead put = Head("v4.channel.k8s.io");
  put.method = "PUT";
  EXPECT_EQ(DecideSpdyUpgrade(put, StreamKind::kExec).http_status, 405);
  EXPECT_EQ(DecideSpdyUpgrade(Head(""), StreamKind::kExec).http_status, 400);
}

TEST(OriginTest, IsOursOrAbsent) {
  HttpHead head = Head("v4.channel.k8s.io");
  EXPECT_TRUE(OriginIsOurs(head));
  head.fields.emplace_back("Origin", "http://h:1");
  EXPECT_TRUE(OriginIsOurs(head));
  head.fields.back().second = "http://evil";
  EXPECT_FALSE(OriginIsOurs(head));
  head.fields.back().second = "null";
  EXPECT_FALSE(OriginIsOurs(head));
}

}  // namespace
}  // namespace podvisor
