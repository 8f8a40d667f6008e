// The metrics that kubelet asks the runtime for.

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "e2e/test_node.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor::e2e {
namespace {

// As critest's specs of metrics have it: a container with limits, which has
// written something.
class PodMetricsE2eTest : public testing::Test {
 protected:
  PodMetricsE2eTest() {
    node_.PullImage();
    const cri::PodSandboxConfig config = node_.PodConfig("metrics");
    pod_ = node_.RunPod(config);
    cri::ContainerConfig container = node_.ContainerConfig(
        "main", "trap 'exit 0' TERM; while :; do sleep 1; done");
    auto* resources = container.mutable_linux()->mutable_resources();
    *resources = Resources(200, 64);
    resources->set_cpu_shares(1024);
    resources->set_memory_swap_limit_in_bytes(64 * kMiB);
    container_ = node_.CreateContainer(pod_, container, config);
    node_.StartContainer(container_);
    Write();
  }

  void Write() {
    node_.Exec(container_,
               {"sh", "-c", "dd if=/dev/zero bs=4096 count=100 >>/f; sync"});
  }

  std::map<std::string, cri::MetricDescriptor> Descriptors() {
    Call call;
    cri::ListMetricDescriptorsResponse response;
    EXPECT_TRUE(
        node_.runtime().ListMetricDescriptors(&call, {}, &response).ok());
    std::map<std::string, cri::MetricDescriptor> descriptors;
    for (const cri::MetricDescriptor& one : response.descriptors()) {
      EXPECT_TRUE(descriptors.emplace(one.name(), one).second) << one.name();
    }
    return descriptors;
  }

  cri::PodSandboxMetrics List() {
    Call call;
    cri::ListPodSandboxMetricsResponse response;
    EXPECT_TRUE(
        node_.runtime().ListPodSandboxMetrics(&call, {}, &response).ok());
    EXPECT_EQ(response.pod_metrics_size(), 1);
    return response.pod_metrics_size() == 1 ? response.pod_metrics(0)
                                            : cri::PodSandboxMetrics();
  }

  // The pod's and its containers' together.
  static std::vector<cri::Metric> All(const cri::PodSandboxMetrics& pod) {
    std::vector<cri::Metric> all(pod.metrics().begin(), pod.metrics().end());
    for (const cri::ContainerMetrics& one : pod.container_metrics()) {
      all.insert(all.end(), one.metrics().begin(), one.metrics().end());
    }
    return all;
  }

  // The sum of all series of the metric; -1 without one.
  static int64_t Sum(const cri::PodSandboxMetrics& pod,
                     const std::string& name) {
    int64_t sum = -1;
    for (const cri::Metric& metric : All(pod)) {
      if (metric.name() != name) continue;
      sum = std::max<int64_t>(sum, 0) +
            static_cast<int64_t>(metric.value().value());
    }
    return sum;
  }

  TestNode node_;
  std::string pod_;
  std::string container_;
};

TEST_F(PodMetricsE2eTest, EveryDescriptorHasAMeasuredValueAtOnceButHugePages) {
  const cri::PodSandboxMetrics pod = List();

  EXPECT_EQ(pod.pod_sandbox_id(), pod_);
  ASSERT_EQ(pod.container_metrics_size(), 1);
  EXPECT_EQ(pod.container_metrics(0).container_id(), container_);
  const auto descriptors = Descriptors();
  EXPECT_GE(descriptors.size(), 55u);
  std::set<std::string> seen;
  for (const cri::Metric& metric : All(pod)) {
    seen.insert(metric.name());
    const auto found = descriptors.find(metric.name());
    ASSERT_NE(found, descriptors.end()) << metric.name();
    EXPECT_EQ(metric.label_values_size(), found->second.label_keys_size())
        << metric.name();
  }
  for (const auto& [name, descriptor] : descriptors) {
    if (name == "container_hugetlb_usage_bytes") continue;
    EXPECT_EQ(seen.count(name), 1u) << name;
  }
}

TEST_F(PodMetricsE2eTest, ValuesAreWhatTheContainerDoes) {
  Write();
  cri::PodSandboxMetrics pod;
  // A call has the sample taken for the next one.
  EXPECT_TRUE(AwaitTrue(absl::Seconds(40), [&] {
    pod = List();
    return Sum(pod, "container_fs_writes_bytes_total") >= 800'000 &&
           Sum(pod, "container_fs_usage_bytes") >= 800'000;
  })) << pod.DebugString();

  EXPECT_EQ(Sum(pod, "container_spec_cpu_period"), 100'000);
  EXPECT_EQ(Sum(pod, "container_spec_cpu_quota"), 20'000);
  EXPECT_EQ(Sum(pod, "container_spec_cpu_shares"), 1024);
  EXPECT_EQ(Sum(pod, "container_spec_memory_limit_bytes"), 64 * kMiB);
  EXPECT_GE(Sum(pod, "container_processes"), 1);
  EXPECT_GE(Sum(pod, "container_file_descriptors"), 2);
  EXPECT_GT(Sum(pod, "container_memory_max_usage_bytes"), 0);
  EXPECT_GT(Sum(pod, "container_fs_limit_bytes"), 800'000);
  EXPECT_EQ(Sum(pod, "container_oom_events_total"), 0);
  const int64_t start = Sum(pod, "container_start_time_seconds");
  EXPECT_LE(start, absl::ToUnixSeconds(absl::Now()));
  EXPECT_GE(Sum(pod, "container_last_seen"), start);
}

TEST_F(PodMetricsE2eTest, CountersGrowFromSampleToSampleWithTheirTime) {
  const cri::PodSandboxMetrics first = List();
  Write();
  cri::PodSandboxMetrics later;
  EXPECT_TRUE(AwaitTrue(absl::Seconds(40), [&] {
    later = List();
    return Sum(later, "container_fs_writes_bytes_total") >
               Sum(first, "container_fs_writes_bytes_total") &&
           Sum(later, "container_cpu_cfs_periods_total") >
               Sum(first, "container_cpu_cfs_periods_total");
  })) << later.DebugString();
  EXPECT_GT(later.metrics(0).timestamp(), first.metrics(0).timestamp());
  for (const cri::Metric& metric : later.container_metrics(0).metrics()) {
    EXPECT_LE(metric.timestamp(), absl::ToUnixNanos(absl::Now()));
  }
}

TEST_F(PodMetricsE2eTest, TheStreamHasWhatTheListHasAndGonePodsAreInNeither) {
  const auto streamed = [&] {
    std::vector<std::string> pods;
    Call call;
    const auto reader = node_.runtime().StreamPodSandboxMetrics(&call, {});
    cri::StreamPodSandboxMetricsResponse batch;
    while (reader->Read(&batch)) {
      for (const auto& pod : batch.pod_sandbox_metrics()) {
        pods.push_back(pod.pod_sandbox_id());
      }
    }
    EXPECT_TRUE(reader->Finish().ok());
    return pods;
  };
  EXPECT_THAT(streamed(), testing::ElementsAre(pod_));
  node_.RemovePod(pod_);
  EXPECT_THAT(streamed(), testing::IsEmpty());
}

TEST_F(PodMetricsE2eTest, PressureAndTrafficAreInTheStats) {
  cri::PodSandboxStatsRequest request;
  request.set_pod_sandbox_id(pod_);
  cri::PodSandboxStatsResponse response;
  EXPECT_TRUE(AwaitTrue(absl::Seconds(40), [&] {
    Call call;
    EXPECT_TRUE(
        node_.runtime().PodSandboxStats(&call, request, &response).ok());
    return response.stats().linux().cpu().has_psi() &&
           response.stats().linux().containers_size() == 1 &&
           response.stats().linux().containers(0).cpu().has_psi();
  })) << response.DebugString();
  const cri::LinuxPodSandboxStats& stats = response.stats().linux();
  EXPECT_TRUE(stats.memory().has_psi());
  EXPECT_TRUE(stats.io().has_psi());
  EXPECT_TRUE(stats.containers(0).memory().has_psi());
  EXPECT_TRUE(stats.containers(0).io().has_psi());
  // It is held to a fifth of a CPU and has run a shell.
  EXPECT_GT(stats.cpu().psi().some().total(), 0u);
  EXPECT_FALSE(stats.network().default_interface().name().empty());
}

}  // namespace
}  // namespace podvisor::e2e
