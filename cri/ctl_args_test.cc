#include "cri/ctl_args.h"

#include "absl/strings/match.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

TEST(CtlArgsTest, OptionsMayStandAnywhere) {
  const auto args =
      ParseCtlArgs({"--socket=/a", "run", "pod.yaml", "--log-dir", "/logs"});

  ASSERT_TRUE(args.ok()) << args.status();
  EXPECT_EQ(args->command, "run");
  EXPECT_EQ(args->operands, std::vector<std::string>{"pod.yaml"});
  EXPECT_EQ(args->socket, "/a");
  EXPECT_EQ(args->log_directory, "/logs");
}

TEST(CtlArgsTest, DoubleDashEndsOptions) {
  const auto args = ParseCtlArgs({"run", "--", "--help"});

  ASSERT_TRUE(args.ok()) << args.status();
  EXPECT_EQ(args->operands, std::vector<std::string>{"--help"});
}

TEST(CtlArgsTest, MistakesAreNamed) {
  struct Case {
    std::vector<std::string> words;
    const char* message;
  };
  for (const Case& c : {
           Case{{}, "a command is needed"},
           Case{{"vm"}, "did you mean vms?"},
           Case{{"vms", "x"}, "vms takes no operand"},
           Case{{"run"}, "run takes POD.yaml"},
           Case{{"logs", "a", "b", "c"}, "logs takes POD [CONTAINER]"},
           Case{{"vms", "--sokcet", "x"}, "did you mean --socket?"},
           Case{{"vms", "--socket"}, "--socket needs a value"},
           Case{{"console", "x", "--lines", "0"}, "--lines takes a number"},
           Case{{"vms", "--interval", "0"}, "--interval takes a time"},
           Case{{"vms", "--interval", "2h"}, "--interval takes a time"},
           Case{{"vms", "--watch=yes"}, "--watch takes no value"},
           Case{{"--follow", "vms"}, "vms has no --follow; logs has"},
           Case{{"plan"}, "plan needs a POD.yaml, a --container or a --pod"},
           Case{{"plan", "x", "--container", "cpus=1"}, "not both"},
           Case{{"plan", "--container", "cpus=x"}, "--container: "},
       }) {
    const absl::Status status = ParseCtlArgs(c.words).status();
    EXPECT_TRUE(absl::StrContains(status.message(), c.message)) << status;
  }
}

TEST(CtlArgsTest, ContainersAreCollectedInTheirOrder) {
  const auto args = ParseCtlArgs(
      {"plan", "--container=cpus=4", "--pod", "web", "--container", "cpus=2"});

  ASSERT_TRUE(args.ok()) << args.status();
  EXPECT_EQ(args->pod, "web");
  ASSERT_EQ(args->containers.size(), 2u);
  EXPECT_EQ(args->containers[0].cpu_limit_millis, 4000);
  EXPECT_EQ(args->containers[1].cpu_limit_millis, 2000);
}

TEST(CtlArgsTest, AWatchLooksEveryTwoSecondsUnlessToldOtherwise) {
  EXPECT_EQ(ParseCtlArgs({"vms", "--watch"})->interval, absl::Seconds(2));
  EXPECT_EQ(ParseCtlArgs({"vms", "--watch", "--interval", "500ms"})->interval,
            absl::Milliseconds(500));
}

TEST(CtlArgsTest, HelpNeedsNothingElse) {
  EXPECT_TRUE(ParseCtlArgs({"--help"})->help);
  EXPECT_TRUE(ParseCtlArgs({"run", "-h"})->help);
  for (const CtlCommand& command : CtlCommands()) {
    EXPECT_TRUE(absl::StrContains(CtlHelp(""), command.name));
    EXPECT_TRUE(absl::StrContains(CtlHelp(command.name), command.details));
  }
}

}  // namespace
}  // namespace podvisor
