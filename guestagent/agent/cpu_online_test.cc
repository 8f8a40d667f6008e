#include "guestagent/agent/cpu_online.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using Action = CpuStep::Action;

TEST(CpuOnlineTest, NextStepIsTheLowestUpAndTheHighestDown) {
  EXPECT_EQ(NextCpuStep({{0, 1}, {0, 1, 2, 3}}, 2),
            (CpuStep{Action::kDone, 0}));
  EXPECT_EQ(NextCpuStep({{0, 3}, {0, 1, 2, 3}}, 3),
            (CpuStep{Action::kOnline, 1}));
  EXPECT_EQ(NextCpuStep({{0, 1, 3}, {0, 1, 2, 3}}, 1),
            (CpuStep{Action::kOffline, 3}));
  EXPECT_EQ(NextCpuStep({{0, 1}, {0, 1}}, 3),
            (CpuStep{Action::kWaitForCpu, 0}));
}

TEST(CpuOnlineTest, CpuZeroNeverGoesOffline) {
  EXPECT_EQ(NextCpuStep({{0}, {0, 1}}, 0), (CpuStep{Action::kDone, 0}));
}

// Every start and every aim within reach: the steps end at the aim, and never
// touch CPU 0.
TEST(CpuOnlineTest, StepsAlwaysReachTheCount) {
  const CpuList present = {0, 1, 2, 3, 4};
  for (unsigned mask = 0; mask < 16; ++mask) {
    for (int count = 1; count <= 5; ++count) {
      CpuSet cpus{{0}, present};
      for (int cpu = 1; cpu < 5; ++cpu) {
        if (mask & (1u << (cpu - 1))) cpus.online.insert(cpu);
      }
      for (int steps = 0; steps < 6; ++steps) {
        const CpuStep step = NextCpuStep(cpus, count);
        if (step.action == Action::kDone) break;
        ASSERT_NE(step.cpu, 0);
        if (step.action == Action::kOnline) cpus.online.insert(step.cpu);
        if (step.action == Action::kOffline) cpus.online.erase(step.cpu);
      }
      EXPECT_EQ(cpus.online.size(), static_cast<size_t>(count)) << mask;
    }
  }
}

TEST(CpuOnlineTest, ReturnsWhenThePodsCgroupsHaveTheirCpusToo) {
  const std::string sys = absl::StrCat(testing::TempDir(), "/sys_cgroup");
  const std::string directory = sys + "/devices/system/cpu";
  const std::string pod = sys + "/fs/cgroup/pod";
  ASSERT_TRUE(MakeDirectories(directory).ok());
  ASSERT_TRUE(WriteFileAtomically(directory + "/online", "0-1\n").ok());
  ASSERT_TRUE(WriteFileAtomically(directory + "/present", "0-1\n").ok());
  CpuOnline cpus(sys);
  // Before the first container there is no such cgroup.
  EXPECT_TRUE(cpus.SetOnline(2, absl::Milliseconds(1), nullptr).ok());

  ASSERT_TRUE(MakeDirectories(pod).ok());
  ASSERT_TRUE(WriteFileAtomically(pod + "/cpuset.cpus", "").ok());
  EXPECT_TRUE(cpus.SetOnline(2, absl::Milliseconds(1), nullptr).ok());
  EXPECT_EQ(ReadFile(pod + "/cpuset.cpus").value(), "\n");
}

TEST(CpuOnlineTest, RefusedCpuIsADeadlineExceededThatSaysSo) {
  const std::string sys = absl::StrCat(testing::TempDir(), "/sys_cpu");
  const std::string directory = sys + "/devices/system/cpu";
  ASSERT_TRUE(MakeDirectories(directory).ok());
  ASSERT_TRUE(WriteFileAtomically(directory + "/online", "0\n").ok());
  ASSERT_TRUE(WriteFileAtomically(directory + "/present", "0-1\n").ok());
  CpuOnline cpus(sys);

  const absl::Status status = cpus.SetOnline(2, absl::Milliseconds(1), nullptr);

  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_NE(status.message().find("cpu1/online"), absl::string_view::npos)
      << status;
  EXPECT_TRUE(absl::IsInvalidArgument(
      cpus.SetOnline(0, absl::ZeroDuration(), nullptr)));
}

}  // namespace
}  // namespace podvisor
