#include "cri/streaming/exit_message.h"

#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace podvisor {
namespace {

using nlohmann::json;

TEST(ExitMessageTest, ZeroIsSuccess) {
  EXPECT_EQ(json::parse(ExitMessage(ChannelVersion::kStatus, 0)),
            json({{"status", "Success"}}));
  EXPECT_EQ(ExitMessage(ChannelVersion::kPlainText, 0), "");
}

TEST(ExitMessageTest, AnExitCodeIsTheCauseOfAFailure) {
  const json status = json::parse(ExitMessage(ChannelVersion::kStatus, 3));

  EXPECT_EQ(status["status"], "Failure");
  EXPECT_EQ(status["reason"], "NonZeroExitCode");
  EXPECT_EQ(status["details"]["causes"],
            json::array({{{"reason", "ExitCode"}, {"message", "3"}}}));
  EXPECT_EQ(ExitMessage(ChannelVersion::kPlainText, 3),
            "command terminated with non-zero exit code: 3");
}

TEST(ExitMessageTest, WithoutAnExitCodeItIsAnErrorOfOurs) {
  const absl::Status lost = absl::UnavailableError("the VM\x1b has ended");

  const json status = json::parse(ExitMessage(ChannelVersion::kStatus, lost));

  EXPECT_EQ(status["status"], "Failure");
  EXPECT_EQ(status["reason"], "InternalError");
  EXPECT_EQ(status["code"], 500);
  EXPECT_EQ(status["message"].get<std::string>().find('\x1b'),
            std::string::npos);
  EXPECT_NE(ExitMessage(ChannelVersion::kPlainText, lost), "");
}

}  // namespace
}  // namespace podvisor
