#include "cri/convert_pod_metrics.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using runtime::v1::Metric;
using runtime::v1::MetricDescriptor;
using runtime::v1::PodSandboxMetrics;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

// What a client of Kubernetes 1.37 looks for.
constexpr const char* kDemanded[] = {
    "container_blkio_device_usage_total",
    "container_cpu_cfs_periods_total",
    "container_cpu_cfs_throttled_periods_total",
    "container_cpu_cfs_throttled_seconds_total",
    "container_cpu_system_seconds_total",
    "container_cpu_usage_seconds_total",
    "container_cpu_user_seconds_total",
    "container_file_descriptors",
    "container_fs_inodes_free",
    "container_fs_inodes_total",
    "container_fs_limit_bytes",
    "container_fs_reads_bytes_total",
    "container_fs_reads_total",
    "container_fs_usage_bytes",
    "container_fs_writes_bytes_total",
    "container_fs_writes_total",
    "container_hugetlb_usage_bytes",
    "container_last_seen",
    "container_memory_cache",
    "container_memory_failcnt",
    "container_memory_failures_total",
    "container_memory_kernel_usage",
    "container_memory_mapped_file",
    "container_memory_max_usage_bytes",
    "container_memory_rss",
    "container_memory_swap",
    "container_memory_usage_bytes",
    "container_memory_working_set_bytes",
    "container_network_receive_bytes_total",
    "container_network_receive_errors_total",
    "container_network_receive_packets_dropped_total",
    "container_network_receive_packets_total",
    "container_network_transmit_bytes_total",
    "container_network_transmit_errors_total",
    "container_network_transmit_packets_dropped_total",
    "container_network_transmit_packets_total",
    "container_oom_events_total",
    "container_pressure_cpu_stalled_seconds_total",
    "container_pressure_cpu_waiting_seconds_total",
    "container_pressure_io_stalled_seconds_total",
    "container_pressure_io_waiting_seconds_total",
    "container_pressure_memory_stalled_seconds_total",
    "container_pressure_memory_waiting_seconds_total",
    "container_processes",
    "container_sockets",
    "container_spec_cpu_period",
    "container_spec_cpu_quota",
    "container_spec_cpu_shares",
    "container_spec_memory_limit_bytes",
    "container_spec_memory_reservation_limit_bytes",
    "container_spec_memory_swap_limit_bytes",
    "container_start_time_seconds",
    "container_threads",
    "container_threads_max",
    "container_ulimits_soft",
};

PodSnapshot Pod() {
  PodSnapshot pod;
  pod.id = PodId("pod");
  pod.state = SandboxState::kReady;
  pod.usage.timestamp = absl::FromUnixNanos(11);
  pod.usage.interfaces = {
      {.name = "eth0",
       .received = {.bytes = 1, .packets = 2, .errors = 3, .dropped = 4},
       .sent = {.bytes = 5, .packets = 6, .errors = 7, .dropped = 8}},
      {.name = "eth1", .received = {.bytes = 9}}};
  pod.usage.scratch =
      ScratchUsage{.device = "vdb", .bytes = 1000, .inodes = 10};
  return pod;
}

ContainerStatsSnapshot Unsampled() {
  ContainerStatsSnapshot container;
  container.id = ContainerId("container");
  container.pod = PodId("pod");
  container.phase = ContainerPhase::kRunning;
  container.started_at = absl::FromUnixSeconds(5);
  container.name = "web";
  container.image = "registry/web:1";
  container.cpu_shares = 512;
  return container;
}

// With a value of its own for every figure, so that no two can be mistaken for
// each other.
ContainerStatsSnapshot Sampled() {
  ContainerStatsSnapshot container = Unsampled();
  ContainerUsage& usage = container.usage;
  usage.timestamp = absl::FromUnixSeconds(7);
  usage.cpu_usage_nanos = 101'900'000'000;
  usage.memory_usage_bytes = 102;
  usage.memory_working_set_bytes = 103;
  usage.memory_rss_bytes = 104;
  usage.memory_page_faults = 105;
  usage.memory_major_page_faults = 106;
  usage.memory_limit_bytes = 107;
  usage.pids = 108;
  usage.writable_layer_bytes = 109;
  usage.cpu_user_nanos = 110'000'000'000;
  usage.cpu_system_nanos = 111'000'000'000;
  usage.cpu_periods = 112;
  usage.cpu_throttled_periods = 113;
  usage.cpu_throttled_nanos = 114'000'000'000;
  usage.cpu_period_micros = 115;
  usage.cpu_quota_micros = 116;
  usage.memory_cache_bytes = 117;
  usage.memory_mapped_file_bytes = 118;
  usage.memory_kernel_bytes = 119;
  usage.memory_peak_bytes = 120;
  usage.memory_swap_bytes = 121;
  usage.memory_swap_limit_bytes = 122;
  usage.memory_low_bytes = 123;
  usage.memory_limit_hits = 124;
  usage.oom_kills = 125;
  usage.threads_max = 126;
  usage.processes = 127;
  usage.file_descriptors = 128;
  usage.sockets = 129;
  usage.max_open_files = 130;
  const auto pressure = [](uint64_t seconds) {
    return ResourcePressure{
        .some = {.total_micros = seconds * 1'000'000},
        .full = {.total_micros = (seconds + 1) * 1'000'000}};
  };
  usage.cpu_pressure = pressure(131);
  usage.memory_pressure = pressure(133);
  usage.io_pressure = pressure(135);
  usage.block_devices = {{.device = "vda",
                          .major_number = 254,
                          .minor_number = 16,
                          .read_bytes = 137,
                          .written_bytes = 138,
                          .reads = 139,
                          .writes = 140}};
  usage.huge_pages = {{"2MB", 141}};
  return container;
}

PodSandboxMetrics Metrics(const PodSnapshot& pod,
                          const std::vector<ContainerStatsSnapshot>& all) {
  return ToPodSandboxMetrics(pod, all);
}

// Of all metrics with the name: the values, in order.
std::vector<uint64_t> Values(const PodSandboxMetrics& metrics,
                             const std::string& name) {
  std::vector<uint64_t> values;
  for (const Metric& metric : metrics.metrics()) {
    if (metric.name() == name) values.push_back(metric.value().value());
  }
  for (const auto& container : metrics.container_metrics()) {
    for (const Metric& metric : container.metrics()) {
      if (metric.name() == name) values.push_back(metric.value().value());
    }
  }
  return values;
}

TEST(MetricDescriptorsTest, AllThatClientsDemandAreThereInOrderAndNoOthers) {
  std::vector<std::string> names;
  for (const MetricDescriptor& descriptor : MetricDescriptors()) {
    names.push_back(descriptor.name());
  }
  EXPECT_EQ(names, std::vector<std::string>(std::begin(kDemanded),
                                            std::end(kDemanded)));
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
}

// kubelet puts its own labels after them.
TEST(MetricDescriptorsTest, EachHasHelpAndLabelsOfDifferentNames) {
  for (const MetricDescriptor& descriptor : MetricDescriptors()) {
    EXPECT_FALSE(descriptor.help().empty()) << descriptor.name();
    std::set<std::string> keys = {"namespace", "pod", "container"};
    for (const std::string& key : descriptor.label_keys()) {
      EXPECT_FALSE(key.empty()) << descriptor.name();
      EXPECT_TRUE(keys.insert(key).second) << descriptor.name() << key;
    }
    EXPECT_GE(descriptor.label_keys_size(), 3) << descriptor.name();
  }
}

TEST(PodMetricsTest, EveryMetricHasADescriptorItsLabelsAndNoTwin) {
  std::map<std::string, int> labels;
  for (const MetricDescriptor& descriptor : MetricDescriptors()) {
    labels[descriptor.name()] = descriptor.label_keys_size();
  }
  const PodSandboxMetrics metrics = Metrics(Pod(), {Sampled()});
  std::set<std::string> names;
  std::set<std::vector<std::string>> series;
  const auto look = [&](const Metric& metric) {
    names.insert(metric.name());
    EXPECT_EQ(metric.label_values_size(), labels[metric.name()])
        << metric.name();
    std::vector<std::string> one(metric.label_values().begin(),
                                 metric.label_values().end());
    one.push_back(metric.name());
    EXPECT_TRUE(series.insert(one).second) << metric.name();
  };
  for (const Metric& metric : metrics.metrics()) look(metric);
  for (const Metric& metric : metrics.container_metrics(0).metrics()) {
    look(metric);
  }
  EXPECT_EQ(names.size(), labels.size());
}

TEST(PodMetricsTest, ValuesAreThoseOfTheSample) {
  const PodSandboxMetrics metrics = Metrics(Pod(), {Sampled()});
  const std::map<std::string, std::vector<uint64_t>> expected = {
      {"container_blkio_device_usage_total", {137, 138}},
      {"container_cpu_cfs_periods_total", {112}},
      {"container_cpu_cfs_throttled_periods_total", {113}},
      {"container_cpu_cfs_throttled_seconds_total", {114}},
      {"container_cpu_system_seconds_total", {111}},
      {"container_cpu_usage_seconds_total", {101}},
      {"container_cpu_user_seconds_total", {110}},
      {"container_file_descriptors", {128}},
      {"container_fs_inodes_free", {0}},
      {"container_fs_inodes_total", {10}},
      {"container_fs_limit_bytes", {1000}},
      {"container_fs_reads_bytes_total", {137}},
      {"container_fs_reads_total", {139}},
      {"container_fs_usage_bytes", {109}},
      {"container_fs_writes_bytes_total", {138}},
      {"container_fs_writes_total", {140}},
      {"container_hugetlb_usage_bytes", {141}},
      {"container_last_seen", {7}},
      {"container_memory_cache", {117}},
      {"container_memory_failcnt", {124}},
      {"container_memory_failures_total", {105, 106, 105, 106}},
      {"container_memory_kernel_usage", {119}},
      {"container_memory_mapped_file", {118}},
      {"container_memory_max_usage_bytes", {120}},
      {"container_memory_rss", {104}},
      {"container_memory_swap", {121}},
      {"container_memory_usage_bytes", {102}},
      {"container_memory_working_set_bytes", {103}},
      {"container_network_receive_bytes_total", {1, 9}},
      {"container_network_receive_errors_total", {3, 0}},
      {"container_network_receive_packets_dropped_total", {4, 0}},
      {"container_network_receive_packets_total", {2, 0}},
      {"container_network_transmit_bytes_total", {5, 0}},
      {"container_network_transmit_errors_total", {7, 0}},
      {"container_network_transmit_packets_dropped_total", {8, 0}},
      {"container_network_transmit_packets_total", {6, 0}},
      {"container_oom_events_total", {125}},
      {"container_pressure_cpu_stalled_seconds_total", {132}},
      {"container_pressure_cpu_waiting_seconds_total", {131}},
      {"container_pressure_io_stalled_seconds_total", {136}},
      {"container_pressure_io_waiting_seconds_total", {135}},
      {"container_pressure_memory_stalled_seconds_total", {134}},
      {"container_pressure_memory_waiting_seconds_total", {133}},
      {"container_processes", {127}},
      {"container_sockets", {129}},
      {"container_spec_cpu_period", {115}},
      {"container_spec_cpu_quota", {116}},
      {"container_spec_cpu_shares", {512}},
      {"container_spec_memory_limit_bytes", {107}},
      {"container_spec_memory_reservation_limit_bytes", {123}},
      {"container_spec_memory_swap_limit_bytes", {122}},
      {"container_start_time_seconds", {5}},
      {"container_threads", {108}},
      {"container_threads_max", {126}},
      {"container_ulimits_soft", {130}},
  };
  EXPECT_EQ(expected.size(), std::size(kDemanded));
  for (const auto& [name, values] : expected) {
    EXPECT_EQ(Values(metrics, name), values) << name;
  }
}

TEST(PodMetricsTest, LabelsNameTheContainerOrThePod) {
  const PodSandboxMetrics metrics = Metrics(Pod(), {Sampled()});
  EXPECT_EQ(metrics.pod_sandbox_id(), "pod");
  EXPECT_THAT(metrics.metrics(0).label_values(),
              ElementsAre("pod", "POD", "", "eth0"));
  const auto& container = metrics.container_metrics(0);
  EXPECT_EQ(container.container_id(), "container");
  const Metric& blocks = container.metrics(0);
  EXPECT_EQ(blocks.name(), "container_blkio_device_usage_total");
  EXPECT_THAT(blocks.label_values(),
              ElementsAre("container", "web", "registry/web:1", "/dev/vda",
                          "254", "16", "Read"));
}

TEST(PodMetricsTest, TimesAreThoseOfTheSamples) {
  const PodSandboxMetrics metrics = Metrics(Pod(), {Sampled()});
  for (const Metric& metric : metrics.metrics()) {
    EXPECT_EQ(metric.timestamp(), 11) << metric.name();
  }
  for (const Metric& metric : metrics.container_metrics(0).metrics()) {
    const bool known = metric.name() == "container_start_time_seconds" ||
                       metric.name() == "container_spec_cpu_shares";
    EXPECT_EQ(metric.timestamp(), known ? 0 : 7'000'000'000) << metric.name();
  }
}

TEST(PodMetricsTest, WhatNobodyMeasuredIsLeftOut) {
  PodSnapshot pod = Pod();
  pod.usage = {};
  ContainerStatsSnapshot bare = Unsampled();
  bare.usage.timestamp = absl::FromUnixSeconds(7);

  const PodSandboxMetrics metrics = Metrics(pod, {bare});

  EXPECT_THAT(metrics.metrics(), IsEmpty());
  for (const char* name :
       {"container_file_descriptors", "container_fs_usage_bytes",
        "container_cpu_user_seconds_total", "container_ulimits_soft",
        "container_pressure_io_waiting_seconds_total",
        "container_spec_cpu_quota"}) {
    EXPECT_THAT(Values(metrics, name), IsEmpty()) << name;
  }
  EXPECT_THAT(Values(metrics, "container_memory_rss"), ElementsAre(0));
}

TEST(PodMetricsTest, OfAContainerWithoutASampleIsKnownWhatTheDaemonDid) {
  const PodSandboxMetrics metrics = Metrics(Pod(), {Unsampled()});
  std::vector<std::string> names;
  for (const Metric& metric : metrics.container_metrics(0).metrics()) {
    names.push_back(metric.name());
  }
  EXPECT_THAT(names, UnorderedElementsAre("container_spec_cpu_shares",
                                          "container_start_time_seconds"));
}

TEST(PodMetricsTest, OnlyThePodsRunningContainersAreThere) {
  std::vector<ContainerStatsSnapshot> all = {Sampled(), Sampled(), Sampled()};
  all[0].phase = ContainerPhase::kExited;
  all[1].pod = PodId("other");
  all[2].id = ContainerId("mine");
  const PodSandboxMetrics metrics = Metrics(Pod(), all);
  ASSERT_EQ(metrics.container_metrics_size(), 1);
  EXPECT_EQ(metrics.container_metrics(0).container_id(), "mine");
}

TEST(PodMetricsTest, CountersAndGaugesAreTold) {
  const PodSandboxMetrics metrics = Metrics(Pod(), {Sampled()});
  for (const Metric& metric : metrics.container_metrics(0).metrics()) {
    const std::string& name = metric.name();
    const bool counter =
        name == "container_memory_failcnt" ||
        (name.size() > 6 && name.compare(name.size() - 6, 6, "_total") == 0 &&
         name != "container_fs_inodes_total");
    EXPECT_EQ(metric.metric_type(),
              counter ? runtime::v1::COUNTER : runtime::v1::GAUGE)
        << name;
  }
}

}  // namespace
}  // namespace podvisor
