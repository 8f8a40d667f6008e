#include "sandbox/container/stop_signal.h"

#include <csignal>

#include "gtest/gtest.h"

namespace podvisor {
namespace {

TEST(ParseSignalTest, AcceptsTheUsualSpellings) {
  const std::pair<const char*, int> kCases[] = {
      {"SIGTERM", SIGTERM}, {"TERM", SIGTERM},
      {"sigquit", SIGQUIT}, {"15", 15},
      {"9", SIGKILL},       {"64", 64},
      {"SIGRTMIN", 34},     {"SIGRTMIN+3", 37},
      {"RTMAX-1", 63},      {"SIGWINCH", SIGWINCH},
  };
  for (const auto& [text, number] : kCases) {
    EXPECT_EQ(ParseSignal(text).value(), number) << text;
  }
}

TEST(ParseSignalTest, RefusesEverythingElse) {
  for (const char* text : {"", "SIG", "0", "65", "-1", "SIGNOPE", "SIGRTMIN+31",
                           "SIGRTMIN+-1", "RTMAX-31", "TERM\n", "1e1", "999"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseSignal(text).status())) << text;
  }
}

}  // namespace
}  // namespace podvisor
