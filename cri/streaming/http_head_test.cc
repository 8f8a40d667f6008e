#include "cri/streaming/http_head.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using testing::ElementsAre;
using State = HttpHeadResult::State;

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

TEST(HttpHeadTest, AListMayBeSpreadOverFieldsAndCommas) {
  const HttpHead head = {
      "GET", "/", {{"Offer", "a,b , "}, {"Other", "x"}, {"offer", "c"}}};

  EXPECT_THAT(FieldItems(head, "OFFER"), ElementsAre("a", "b", "c"));
  EXPECT_TRUE(HasFieldItem(head, "Offer", "C"));
  EXPECT_FALSE(HasFieldItem(head, "Offer", "x"));
}

}  // namespace
}  // namespace podvisor
