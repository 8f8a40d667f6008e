#include "guestagent/agent/crun_log.h"

#include <string>

#include "gtest/gtest.h"

namespace podvisor {
namespace {

TEST(CrunLogTest, ErrorsAreTakenFromTheJsonLines) {
  EXPECT_EQ(
      CrunErrorText("{\"msg\":\"a warning\",\"level\":\"warning\"}\n"
                    "{\"msg\":\"no `x` in\\n$PATH\",\"level\":\"error\"}\n"),
      "no `x` in $PATH");
}

TEST(CrunLogTest, OtherTextIsKeptAndCleaned) {
  EXPECT_EQ(CrunErrorText(""), "");
  EXPECT_EQ(CrunErrorText("plain\n\ntext\x1b[2J\n"), "text [2J");
  EXPECT_EQ(CrunErrorText("{\"msg\":1}\n"), "{\"msg\":1}");
  EXPECT_LE(CrunErrorText(std::string(1 << 20, 'x')).size(), 1024u);
}

TEST(CrunLogTest, FailuresOfTheCommandHaveTheShellsExitCodes) {
  EXPECT_EQ(ExitCodeOfFailedCommand("executable file `x` not found in $PATH: "
                                    "No such file or directory"),
            127);
  EXPECT_EQ(ExitCodeOfFailedCommand("open executable: Permission denied"), 126);
  EXPECT_EQ(ExitCodeOfFailedCommand("cannot setns: Invalid argument"), 0);
}

}  // namespace
}  // namespace podvisor
