// Exec and attach through the real crictl, over the streaming server.

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/process.h"
#include "e2e/crictl_node.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace podvisor::e2e {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;

class StreamingE2eTest : public testing::Test {
 protected:
  StreamingE2eTest() : node_({}) {
    pod_ = node_.Say({"runp", node_.PodFile("streaming", {})});
    container_ = node_.Say({"create", pod_, node_.ContainerFile(Json::object()),
                            node_.PodFile("streaming", {})});
    node_.Say({"start", container_});
  }

  CommandResult Exec(const std::string& script) {
    return node_.Crictl({"exec", container_, "sh", "-c", script});
  }

  CrictlNode node_;
  std::string pod_;
  std::string container_;
};

TEST_F(StreamingE2eTest, ExecKeepsTheStreamsApartAndPassesTheExitCode) {
  const CommandResult result = Exec("echo out; echo err >&2; exit 3");

  EXPECT_EQ(result.stdout_data, "out\n");
  EXPECT_THAT(result.stderr_data, HasSubstr("err\n"));
  EXPECT_THAT(result.stderr_data, HasSubstr("exit code 3"));
  EXPECT_NE(result.exit_code, 0);
}

TEST_F(StreamingE2eTest, ExecLosesNothingOfALongOutput) {
  const CommandResult result = Exec("seq 100000");

  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.stdout_data.size(), 588895u);
  EXPECT_TRUE(result.stdout_data.ends_with("\n100000\n"));
}

TEST_F(StreamingE2eTest, ExecReturnsThoughAChildKeepsThePipe) {
  EXPECT_EQ(Exec("sleep 300 & echo started").stdout_data, "started\n");
}

TEST_F(StreamingE2eTest, TwoHundredExecsOneAfterTheOther) {
  for (int i = 0; i < 200; ++i) {
    ASSERT_EQ(Exec(absl::StrCat("echo ", i)).stdout_data,
              absl::StrCat(i, "\n"));
  }
}

TEST_F(StreamingE2eTest, ACommandThatIsNotThereHasAnExitCode) {
  const CommandResult result = node_.Crictl({"exec", container_, "/nope"});

  EXPECT_NE(result.exit_code, 0);
  EXPECT_THAT(result.stderr_data, HasSubstr("127"));
}

TEST_F(StreamingE2eTest, AContainerThatHasStoppedTakesNoExec) {
  node_.Say({"stop", container_});

  const CommandResult result = Exec("true");

  EXPECT_NE(result.exit_code, 0);
  EXPECT_THAT(result.stderr_data, HasSubstr("not running"));
}

}  // namespace
}  // namespace podvisor::e2e
