#include "network/stray_plugins.h"

#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/process.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

constexpr absl::Duration kTime = absl::Seconds(20);

// Waits for ever, with this environment.
ProcessIdentity StartWaiting(const std::string& variable) {
  SpawnOptions options;
  options.argv = {"tail", "-f", "/dev/null"};
  options.env.push_back(variable);
  return Spawn(options).value();
}

TEST(StrayPluginsTest, EndsThePluginsOfThisDirectoryAndNoOther) {
  const std::string directory =
      absl::StrCat(testing::TempDir(), "/netns-", getpid());
  const ProcessIdentity mine =
      StartWaiting(absl::StrCat("CNI_NETNS=", directory, "/0123"));
  const ProcessIdentity others =
      StartWaiting(absl::StrCat("CNI_NETNS=", directory, "-2/0123"));
  const ProcessIdentity no_plugin =
      StartWaiting(absl::StrCat("NETNS=", directory, "/0123"));

  EXPECT_TRUE(EndStrayPlugins(directory, absl::Now() + kTime).ok());

  EXPECT_FALSE(IsAlive(mine));
  EXPECT_TRUE(IsAlive(others));
  EXPECT_TRUE(IsAlive(no_plugin));
  EXPECT_TRUE(KillGroup(others, absl::Now() + kTime).ok());
  EXPECT_TRUE(KillGroup(no_plugin, absl::Now() + kTime).ok());
}

TEST(StrayPluginsTest, WithoutAnyThereIsNothingToDo) {
  EXPECT_TRUE(EndStrayPlugins("/nowhere/netns", absl::Now() + kTime).ok());
}

}  // namespace
}  // namespace podvisor
