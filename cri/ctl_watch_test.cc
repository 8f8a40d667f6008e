#include "cri/ctl_watch.h"

#include <sstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "cri/fake_cri_client.h"
#include "cri/fake_pause.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class CtlWatchTest : public testing::Test {
 protected:
  CtlWatchTest() { SetVcpus(1); }

  void SetVcpus(int count) {
    client_.info =
        absl::StrCat(R"({"state":"ready","vcpus":{"target":)", count,
                     R"(,"plugged":)", count, R"(,"online":)", count, "}}");
  }
  absl::Status Watch(std::vector<std::function<void()>> meanwhile,
                     bool terminal = false) {
    FakePause pause(&clock_, std::move(meanwhile));
    return WatchVms(client_, clock_, pause,
                    {.interval = absl::Seconds(2), .terminal = terminal}, out_);
  }
  // How many tables were printed.
  int Tables() {
    return static_cast<int>(
        std::vector<std::string>(absl::StrSplit(out_.str(), "NAMESPACE/POD"))
            .size() -
        1);
  }

  FakeClock clock_;
  FakeCriClient client_;
  std::ostringstream out_;
};

TEST_F(CtlWatchTest, PrintsAgainOnlyWhenSomethingChanged) {
  const auto nothing = [] {};

  ASSERT_TRUE(Watch({nothing, [&] { SetVcpus(4); }, nothing, nothing}).ok());

  EXPECT_EQ(Tables(), 2) << out_.str();
  EXPECT_THAT(out_.str(), HasSubstr("1/1/1"));
  EXPECT_THAT(out_.str(), HasSubstr("4/4/4"));
}

TEST_F(CtlWatchTest, APipeGetsNoEscapeCodesAndATerminalOneTableAtATime) {
  ASSERT_TRUE(Watch({[&] { SetVcpus(4); }}).ok());
  EXPECT_THAT(out_.str(), Not(HasSubstr("\x1b")));
  EXPECT_THAT(out_.str(), HasSubstr("\n\n"));

  out_.str("");
  ASSERT_TRUE(Watch({[&] { SetVcpus(2); }}, /*terminal=*/true).ok());
  EXPECT_THAT(out_.str(), StartsWith("\x1b[H\x1b[2J"));
}

TEST_F(CtlWatchTest, ATableSaysWhenItWasSo) {
  ASSERT_TRUE(Watch({[&] { SetVcpus(4); }}).ok());

  const auto at = [&](absl::Time time) {
    return absl::FormatTime("%H:%M:%S\n", time, absl::LocalTimeZone());
  };
  EXPECT_THAT(out_.str(), StartsWith(at(clock_.Now() - absl::Seconds(2))));
  EXPECT_THAT(out_.str(), HasSubstr("\n\n" + at(clock_.Now())));
}

TEST_F(CtlWatchTest, ADaemonThatIsRestartedIsWaitedFor) {
  const auto down = [&] {
    client_.list_error = absl::CancelledError("it ends");
  };
  const auto gone = [&] {
    client_.list_error = absl::UnavailableError("nobody listens");
  };
  const auto up = [&] { client_.list_error = absl::OkStatus(); };

  ASSERT_TRUE(Watch({down, gone, up}).ok());

  EXPECT_EQ(Tables(), 2) << out_.str();
  const std::vector<std::string> said =
      absl::StrSplit(out_.str(), "podvisord does not answer; waiting for it\n");
  EXPECT_EQ(said.size(), 2u) << "once, not at every look: " << out_.str();
}

TEST_F(CtlWatchTest, ADaemonThatWasNeverThereIsAnError) {
  client_.list_error = absl::UnavailableError("nobody");

  EXPECT_TRUE(absl::IsUnavailable(Watch({[] {}})));
  EXPECT_EQ(out_.str(), "");
}

TEST_F(CtlWatchTest, AnOutputThatTakesNoMoreEndsIt) {
  int looks = 0;
  const auto close = [&] {
    ++looks;
    SetVcpus(looks + 1);
    out_.setstate(std::ios::badbit);
  };

  EXPECT_TRUE(Watch({close, close, close}).ok());
  EXPECT_EQ(looks, 1);
}

}  // namespace
}  // namespace podvisor
