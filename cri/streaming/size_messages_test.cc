#include "cri/streaming/size_messages.h"

#include "gtest/gtest.h"

namespace podvisor {
namespace {

using Sizes = std::vector<TerminalSize>;

TEST(SizeMessagesTest, ObjectsMayBeCutAnywhereAndFollowEachOther) {
  const std::string text =
      "{\"Width\":80,\"Height\":24}\n{\"Height\":50,\"Width\":132}";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    SizeMessages messages;
    Sizes sizes = messages.Receive(text.substr(0, cut)).value();
    const Sizes more = messages.Receive(text.substr(cut)).value();
    sizes.insert(sizes.end(), more.begin(), more.end());

    EXPECT_EQ(sizes, (Sizes{{80, 24}, {132, 50}})) << cut;
  }
}

TEST(SizeMessagesTest, OtherTextsAreInvalid) {
  for (const std::string& text :
       {std::string("}"), std::string("{}"), std::string("{\"Width\":80}"),
        std::string("{\"Width\":-1,\"Height\":1}"),
        std::string("{\"Width\":65536,\"Height\":1}"),
        std::string("{\"Width\":1.5,\"Height\":1}"),
        std::string("{\"Width\":\"1\",\"Height\":1}"),
        std::string("{\"Width\":{\"Width\":1}"), std::string(300, ' ')}) {
    SizeMessages messages;
    EXPECT_TRUE(absl::IsInvalidArgument(messages.Receive(text).status()))
        << text;
  }
}

}  // namespace
}  // namespace podvisor
