#include "sandbox/parts/cpu_time.h"

#include "gtest/gtest.h"

namespace podvisor {
namespace {

ProcessUsage Usage(int seconds, const std::map<int, int>& vcpu_seconds) {
  ProcessUsage usage;
  usage.time = absl::Seconds(seconds);
  for (const auto& [id, of_vcpu] : vcpu_seconds) {
    usage.vcpu_times[id] = absl::Seconds(of_vcpu);
  }
  return usage;
}

TEST(CpuTimeTest, NeitherSumFallsWhileVcpusComeAndGo) {
  CpuTime time;
  const struct {
    ProcessUsage usage;
    int vcpus;
    int vmm;
  } looks[] = {
      {Usage(12, {{1, 10}}), 10, 2},
      {Usage(18, {{1, 12}, {2, 4}}), 16, 2},
      // The second was unplugged, a second after the last look at it.
      {Usage(20, {{1, 13}}), 17, 3},
      // Another came and has the same id.
      {Usage(24, {{1, 13}, {2, 4}}), 21, 3},
      // One went, and one came with its id, between two looks.
      {Usage(25, {{1, 13}, {2, 1}}), 22, 3},
      // The vCPUs were read last, and the process some time before.
      {Usage(26, {{1, 14}, {2, 2}}), 24, 3},
      {Usage(30, {{1, 14}, {2, 2}}), 24, 6},
  };

  for (const auto& look : looks) {
    time.Observe(look.usage);
    EXPECT_EQ(time.vcpus(), absl::Seconds(look.vcpus));
    EXPECT_EQ(time.vmm(), absl::Seconds(look.vmm));
  }
}

}  // namespace
}  // namespace podvisor
