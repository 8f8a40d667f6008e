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

TEST(ConvertPodStatsTest, PressureAndTrafficAreThePodsOwn) {
  PodSnapshot pod = ReadyPod();
  pod.usage.timestamp = absl::FromUnixNanos(9);
  pod.usage.cpu_pressure =
      ResourcePressure{.some = {.total_micros = 3, .avg10 = 150}};
  pod.usage.memory_pressure =
      ResourcePressure{.full = {.total_micros = ~uint64_t{0}}};
  pod.usage.io_pressure =
      ResourcePressure{.some = {.avg60 = 1}, .full = {.avg300 = 10'000}};
  pod.usage.interfaces = {{.name = "eth0",
                           .received = {.bytes = 1, .errors = 2},
                           .sent = {.bytes = 3, .errors = 4}},
                          {.name = "eth1"}};

  const auto stats = ToPodSandboxStats(pod, {}, "/var/lib/x").linux();

  EXPECT_EQ(stats.cpu().psi().some().total(), 3000u);
  EXPECT_EQ(stats.cpu().psi().some().avg10(), 1.5);
  EXPECT_EQ(stats.memory().psi().full().total(), ~uint64_t{0} / 1000 * 1000);
  EXPECT_EQ(stats.io().timestamp(), 9);
  EXPECT_EQ(stats.io().psi().some().avg60(), 0.01);
  EXPECT_EQ(stats.io().psi().full().avg300(), 100);
  EXPECT_EQ(stats.network().timestamp(), 9);
  EXPECT_EQ(stats.network().default_interface().name(), "eth0");
  EXPECT_EQ(stats.network().default_interface().rx_bytes().value(), 1u);
  EXPECT_EQ(stats.network().default_interface().rx_errors().value(), 2u);
  EXPECT_EQ(stats.network().default_interface().tx_bytes().value(), 3u);
  EXPECT_EQ(stats.network().default_interface().tx_errors().value(), 4u);
  ASSERT_EQ(stats.network().interfaces_size(), 1);
  EXPECT_EQ(stats.network().interfaces(0).name(), "eth1");
}

TEST(ConvertPodStatsTest, APodThatWasNotSampledHasNeitherPressureNorTraffic) {
  const auto stats = ToPodSandboxStats(ReadyPod(), {}, "/var/lib/x").linux();
  EXPECT_FALSE(stats.cpu().has_psi());
  EXPECT_FALSE(stats.memory().has_psi());
  EXPECT_FALSE(stats.has_io());
  EXPECT_FALSE(stats.has_network());
}

}  // namespace
}  // namespace podvisor
