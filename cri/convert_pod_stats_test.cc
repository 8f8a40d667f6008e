#include "cri/convert_pod_stats.h"

#include <vector>

#include "gtest/gtest.h"

namespace podvisor {
namespace {

ContainerStatsSnapshot Container(const std::string& pod, uint64_t cpu) {
  ContainerStatsSnapshot container;
  container.id = ContainerId(pod + "-container");
  container.pod = PodId(pod);
  container.phase = ContainerPhase::kRunning;
  container.usage.timestamp = absl::FromUnixNanos(static_cast<int64_t>(cpu));
  container.usage.cpu_usage_nanos = cpu;
  container.usage.memory_working_set_bytes = 10 * cpu;
  container.usage.pids = 2;
  return container;
}

PodSnapshot ReadyPod() {
  PodSnapshot pod;
  pod.id = PodId("a");
  pod.spec.metadata.name = "web";
  pod.spec.labels["app"] = "x";
  pod.state = SandboxState::kReady;
  pod.created_at = absl::FromUnixNanos(5);
  return pod;
}

TEST(ConvertPodStatsTest, APodIsTheSumOfItsRunningContainers) {
  std::vector<ContainerStatsSnapshot> containers = {
      Container("a", 100), Container("b", 1000), Container("a", 200),
      Container("a", 400)};
  containers[3].phase = ContainerPhase::kExited;

  const auto stats = ToPodSandboxStats(ReadyPod(), containers, "/var/lib/x");

  EXPECT_EQ(stats.attributes().id(), "a");
  EXPECT_EQ(stats.attributes().metadata().name(), "web");
  EXPECT_EQ(stats.attributes().labels().at("app"), "x");
  EXPECT_EQ(stats.linux().cpu().usage_core_nano_seconds().value(), 300u);
  EXPECT_EQ(stats.linux().cpu().timestamp(), 200);
  EXPECT_EQ(stats.linux().memory().working_set_bytes().value(), 3000u);
  EXPECT_EQ(stats.linux().process().process_count().value(), 4u);
  ASSERT_EQ(stats.linux().containers_size(), 2);
  EXPECT_EQ(stats.linux().containers(0).attributes().id(), "a-container");
}

TEST(ConvertPodStatsTest, APodWithoutContainersHasUsedNothingSinceItsBegin) {
  const auto stats = ToPodSandboxStats(ReadyPod(), {}, "/var/lib/x");

  EXPECT_EQ(stats.linux().cpu().usage_core_nano_seconds().value(), 0u);
  EXPECT_EQ(stats.linux().cpu().timestamp(), 5);
  EXPECT_EQ(stats.linux().memory().timestamp(), 5);
}

}  // namespace
}  // namespace podvisor
