#include "cri/streaming/websocket_key.h"

#include "gtest/gtest.h"

namespace podvisor {
namespace {

// RFC 6455 1.3.
TEST(WebSocketKeyTest, IsAnsweredAsInTheExampleOfTheStandard) {
  EXPECT_EQ(WebSocketAcceptOf("dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

TEST(WebSocketKeyTest, IsSixteenBytes) {
  EXPECT_TRUE(IsWebSocketKey("dGhlIHNhbXBsZSBub25jZQ=="));
  for (const char* bad :
       {"", "dGhlIHNhbXBsZSBub25jZQ", "c2hvcnQ=", "dGhlIHNhbXBsZSBub25jZTE3",
        "!GhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZTAxMjM0NTY3"}) {
    EXPECT_FALSE(IsWebSocketKey(bad)) << bad;
  }
}

}  // namespace
}  // namespace podvisor
