// crictl as it is called by hand, without --timeout: it gives a pod 4 s to run
// and every other call 2 s. What is not done by then must be undone, or be what
// the same command goes on with. How fast this machine is decides only which.

#include <signal.h>
#include <sys/wait.h>

#include <iostream>
#include <set>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/time/clock.h"
#include "e2e/crictl_node.h"
#include "e2e/test_node.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor::e2e {
namespace {

using testing::IsEmpty;

class CrictlLimitsE2eTest : public testing::Test {
 protected:
  std::string Pods() { return crictl_.Say({"pods", "-q"}); }
  std::set<pid_t> Qemus() { return node_.Processes({"qemu-system"}); }

  CrictlNode crictl_{{}};
  TestNode& node_ = crictl_.node();
};

TEST_F(CrictlLimitsE2eTest, ARunpThatCrictlGivesUpLeavesNothingAndIsRepeated) {
  const std::string file = crictl_.PodFile("frozen", {});
  SpawnOptions options;
  options.argv = crictl_.ImpatientArguments({"runp", file});
  const ProcessIdentity runp = StartProgram(kCrictl, options);
  // No machine boots a VM that stands still.
  ASSERT_TRUE(AwaitTrue(absl::Seconds(60), [&] { return !Qemus().empty(); }));
  for (const pid_t qemu : Qemus()) ASSERT_EQ(kill(qemu, SIGSTOP), 0);
  const absl::StatusOr<int> ended =
      WaitProcess(runp, absl::Now() + absl::Seconds(60));
  ASSERT_TRUE(ended.ok()) << ended.status();
  EXPECT_TRUE(WIFEXITED(*ended) && WEXITSTATUS(*ended) != 0) << *ended;
  EXPECT_EQ(node_.Leftovers(), "");
  EXPECT_EQ(Pods(), "");

  const std::string id = crictl_.Say({"runp", file});

  EXPECT_EQ(Pods(), id);
  // Whoever asks for the same pod again is given it.
  const CommandResult again = crictl_.ImpatientCrictl({"runp", file});
  EXPECT_EQ(absl::StripAsciiWhitespace(again.stdout_data), id)
      << again.stderr_data;
  EXPECT_EQ(Qemus().size(), 1u);
}

TEST_F(CrictlLimitsE2eTest, APodsLifeIsDoneOrGoesOnWithTheSameCommands) {
  const std::string file = crictl_.PodFile("impatient", {});
  CommandResult runp = crictl_.ImpatientCrictl({"runp", file});
  if (runp.exit_code != 0) {
    std::cerr << "no guest boots in 4 s: " << runp.stderr_data;
    EXPECT_EQ(node_.Leftovers(), "");
    runp = crictl_.Crictl({"runp", file});
  }
  ASSERT_EQ(runp.exit_code, 0) << runp.stderr_data;
  const std::string id(absl::StripAsciiWhitespace(runp.stdout_data));
  // The first process of a container ignores a SIGTERM that it has not asked
  // for: this one has to be killed.
  crictl_.Say(
      {"start",
       crictl_.Say({"create", id,
                    crictl_.ContainerFile(nlohmann::json::object()), file})});

  const auto repeat = [&](const char* verb, const auto& done) {
    int calls = 0;
    const bool in_time = AwaitTrue(absl::Seconds(60), [&] {
      ++calls;
      return done(crictl_.ImpatientCrictl({verb, id}));
    });
    std::cerr << verb << ": " << calls << " calls\n";
    return in_time;
  };
  EXPECT_TRUE(repeat("stopp", [](const CommandResult& stopp) {
    return stopp.exit_code == 0;
  }));
  EXPECT_THAT(Qemus(), IsEmpty());
  // One that was done after crictl had given up is not found the next time.
  EXPECT_TRUE(
      repeat("rmp", [&](const CommandResult&) { return Pods().empty(); }));
  EXPECT_EQ(node_.Leftovers(), "");
}

}  // namespace
}  // namespace podvisor::e2e
