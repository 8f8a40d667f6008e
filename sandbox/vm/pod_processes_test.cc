#include "sandbox/vm/pod_processes.h"

#include <sys/resource.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

const char kId[] =
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

std::string Cmdline(const std::vector<std::string>& arguments) {
  std::string text;
  for (const std::string& argument : arguments) text += argument + '\0';
  return text;
}

TEST(PodProcessesTest, QemuAndVirtiofsdAreRecognized) {
  const PodId id(kId);
  const std::string name = std::string("podvisor-") + kId + ",debug-threads=on";
  const std::string source =
      std::string("source=/run/podvisor/pods/") + kId + "/share";

  EXPECT_TRUE(IsProcessOfPod(Cmdline({"qemu", "-name", name, "-x"}), id));
  EXPECT_TRUE(IsProcessOfPod(
      Cmdline({"sh", "-c", "...", "--", "setpriv", "qemu", "-name", name}),
      id));
  EXPECT_TRUE(
      IsProcessOfPod(Cmdline({"virtiofsd", "--fd=3", "-o", source}), id));
}

TEST(PodProcessesTest, WhoMerelyNamesThePodIsNot) {
  const PodId id(kId);
  const std::string name = std::string("podvisor-") + kId + ",debug-threads=on";
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{
           {},
           {"podvisorctl", "logs", kId},
           {"grep", name},
           {"qemu", "-name", name + "x"},
           {"cat", std::string("/run/podvisor/pods/") + kId + "/share"},
           {"qemu", "-name", "podvisor-" + std::string(64, 'b')}}) {
    EXPECT_FALSE(IsProcessOfPod(Cmdline(arguments), id));
  }
}

TEST(PodProcessesTest, KillsOnlyThePodsOwn) {
  const PodId mine(RandomHexId());
  const PodId other(RandomHexId());
  SpawnOptions spawn;
  // A process with such a command line; the arguments after $0 are not read.
  spawn.argv = {
      "/bin/sh", "-c",    "kill -STOP $$; :",
      "x",       "-name", "podvisor-" + mine.value() + ",debug-threads=on"};
  const auto victim = Spawn(spawn);
  spawn.argv.back() = "podvisor-" + other.value() + ",debug-threads=on";
  const auto bystander = Spawn(spawn);
  ASSERT_TRUE(victim.ok() && bystander.ok());
  const absl::Time deadline = absl::Now() + absl::Seconds(20);

  // A child has its own command line only once it runs its program.
  for (const PodId& id : {mine, other}) {
    while (FindPodProcesses(id).value().empty() && absl::Now() < deadline) {
      std::this_thread::yield();
    }
  }

  EXPECT_EQ(FindPodProcesses(mine).value().size(), 1u);
  EXPECT_TRUE(KillPodProcesses(mine, deadline).ok());

  EXPECT_FALSE(IsAlive(*victim));
  EXPECT_TRUE(IsAlive(*bystander));
  EXPECT_TRUE(KillPodProcesses(mine, deadline).ok());
  EXPECT_TRUE(KillGroup(*bystander, deadline).ok());
}

TEST(PodProcessesTest, WithoutDescriptorsNobodySaysThatNothingIsThere) {
  const PodId id(RandomHexId());
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit none = before;
  none.rlim_cur = 0;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);

  const absl::Status found = FindPodProcesses(id).status();
  const absl::Status killed = KillPodProcesses(id, deadline);
  const bool alive = IsAlive({getpid(), 1});

  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(absl::IsResourceExhausted(found)) << found;
  EXPECT_TRUE(absl::IsResourceExhausted(killed)) << killed;
  EXPECT_TRUE(alive);
  EXPECT_TRUE(FindPodProcesses(id).value().empty());
}

}  // namespace
}  // namespace podvisor
