#include "cri/convert_pod_metrics.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"

namespace podvisor {
namespace {

using U = ContainerUsage;
using Direction = InterfaceTraffic::Direction;

constexpr uint64_t kNanos = 1'000'000'000;
constexpr uint64_t kMicros = 1'000'000;

struct Subject {
  const PodUsage& pod;
  const ContainerStatsSnapshot& container;  // empty for a metric of the pod
};

// One series: the values of its own labels, and its own.
struct Series {
  std::vector<std::string> labels;
  uint64_t value = 0;
};
using AllSeries = std::vector<Series>;

// Where a metric comes from: the last sample of a container, that of the pod,
// or what the daemon knows of a container without asking its guest.
enum class Source { kContainer, kPod, kDaemon };

using Labels = std::array<const char*, 4>;  // unused ones are nullptr

struct MetricRow {
  const char* name;
  const char* help;
  AllSeries (*read)(const Subject&);
  Labels labels;  // its own
  runtime::v1::MetricType type;
  Source source = Source::kContainer;
};

constexpr MetricRow Counter(const char* name, const char* help,
                            AllSeries (*read)(const Subject&),
                            Labels labels = {}) {
  return {name, help, read, labels, runtime::v1::COUNTER};
}

constexpr MetricRow Gauge(const char* name, const char* help,
                          AllSeries (*read)(const Subject&),
                          Labels labels = {}) {
  return {name, help, read, labels, runtime::v1::GAUGE};
}

constexpr MetricRow From(Source source, MetricRow row) {
  row.source = source;
  return row;
}

std::string DeviceFile(const std::string& name) {
  return absl::StrCat("/dev/", name);
}

uint64_t Seconds(absl::Time time) {
  return time > absl::UnixEpoch()
             ? static_cast<uint64_t>(absl::ToUnixSeconds(time))
             : 0;
}

// A figure of the container's usage, divided by `kUnit`.
template <auto kMember, uint64_t kUnit = 1>
AllSeries Figure(const Subject& subject) {
  const auto& figure = subject.container.usage.*kMember;
  if constexpr (std::is_same_v<std::decay_t<decltype(figure)>, uint64_t>) {
    return {{{}, figure / kUnit}};
  } else {
    if (!figure.has_value()) return {};
    return {{{}, *figure / kUnit}};
  }
}

template <auto kResource, auto kTasks>
AllSeries Pressure(const Subject& subject) {
  const auto& pressure = subject.container.usage.*kResource;
  if (!pressure.has_value()) return {};
  return {{{}, ((*pressure).*kTasks).total_micros / kMicros}};
}

template <auto kMember>
AllSeries Blocks(const Subject& subject) {
  AllSeries series;
  for (const BlockTraffic& one : subject.container.usage.block_devices) {
    series.push_back({{DeviceFile(one.device)}, one.*kMember});
  }
  return series;
}

AllSeries BlockBytes(const Subject& subject) {
  AllSeries series;
  for (const BlockTraffic& one : subject.container.usage.block_devices) {
    const std::string device = DeviceFile(one.device);
    const std::string major_number = absl::StrCat(one.major_number);
    const std::string minor_number = absl::StrCat(one.minor_number);
    series.push_back(
        {{device, major_number, minor_number, "Read"}, one.read_bytes});
    series.push_back(
        {{device, major_number, minor_number, "Write"}, one.written_bytes});
  }
  return series;
}

AllSeries OfDisk(const Subject& subject,
                 uint64_t (*value)(const Subject&, const ScratchUsage&)) {
  const std::optional<ScratchUsage>& scratch = subject.pod.scratch;
  if (!scratch.has_value()) return {};
  return {{{DeviceFile(scratch->device)}, value(subject, *scratch)}};
}
AllSeries LayerBytes(const Subject& subject) {
  return OfDisk(subject, [](const Subject& one, const ScratchUsage&) {
    return one.container.usage.writable_layer_bytes;
  });
}
AllSeries DiskSize(const Subject& subject) {
  return OfDisk(subject, [](const Subject&, const ScratchUsage& scratch) {
    return scratch.bytes;
  });
}
AllSeries Inodes(const Subject& subject) {
  return OfDisk(subject, [](const Subject&, const ScratchUsage& scratch) {
    return scratch.inodes;
  });
}
AllSeries FreeInodes(const Subject& subject) {
  return OfDisk(subject, [](const Subject&, const ScratchUsage& scratch) {
    return scratch.free_inodes;
  });
}

AllSeries CpuSeconds(const Subject& subject) {
  return {{{"total"}, subject.container.usage.cpu_usage_nanos / kNanos}};
}

AllSeries HugePages(const Subject& subject) {
  AllSeries series;
  for (const HugePageUsage& one : subject.container.usage.huge_pages) {
    series.push_back({{one.size}, one.bytes});
  }
  return series;
}

// cgroup v2 counts those of cgroups below with them, as cAdvisor shows it.
AllSeries PageFaults(const Subject& subject) {
  const ContainerUsage& usage = subject.container.usage;
  AllSeries series;
  for (const char* scope : {"container", "hierarchy"}) {
    series.push_back({{"pgfault", scope}, usage.memory_page_faults});
    series.push_back({{"pgmajfault", scope}, usage.memory_major_page_faults});
  }
  return series;
}

AllSeries OpenFilesLimit(const Subject& subject) {
  const std::optional<uint64_t>& limit = subject.container.usage.max_open_files;
  if (!limit.has_value()) return {};
  return {{{"max_open_files"}, *limit}};
}

AllSeries LastSeen(const Subject& subject) {
  return {{{}, Seconds(subject.container.usage.timestamp)}};
}

AllSeries StartTime(const Subject& subject) {
  return {{{}, Seconds(subject.container.started_at)}};
}

AllSeries CpuShares(const Subject& subject) {
  const int64_t shares = subject.container.cpu_shares;
  if (shares <= 0) return {};
  return {{{}, static_cast<uint64_t>(shares)}};
}

template <auto kDirection, auto kMember>
AllSeries Network(const Subject& subject) {
  AllSeries series;
  for (const InterfaceTraffic& one : subject.pod.interfaces) {
    series.push_back({{one.name}, (one.*kDirection).*kMember});
  }
  return series;
}

// In the order of the names. The kernel does not keep the most huge pages that
// were in use, so cAdvisor's container_hugetlb_max_usage_bytes is missing.
constexpr MetricRow kMetrics[] = {
    Counter("container_blkio_device_usage_total",
            "Bytes read from and written to each block device.", BlockBytes,
            {"device", "major", "minor", "operation"}),
    Counter("container_cpu_cfs_periods_total",
            "Periods of the CPU limit that have passed.",
            Figure<&U::cpu_periods>),
    Counter("container_cpu_cfs_throttled_periods_total",
            "Periods in which the CPU limit was met.",
            Figure<&U::cpu_throttled_periods>),
    Counter("container_cpu_cfs_throttled_seconds_total",
            "Seconds for which the CPU limit has held it up.",
            Figure<&U::cpu_throttled_nanos, kNanos>),
    Counter("container_cpu_system_seconds_total",
            "CPU seconds used in the kernel.",
            Figure<&U::cpu_system_nanos, kNanos>),
    Counter("container_cpu_usage_seconds_total",
            "CPU seconds used, of all CPUs together.", CpuSeconds, {"cpu"}),
    Counter("container_cpu_user_seconds_total",
            "CPU seconds used outside of the kernel.",
            Figure<&U::cpu_user_nanos, kNanos>),
    Gauge("container_file_descriptors",
          "Open file descriptors of all processes.",
          Figure<&U::file_descriptors>),
    Gauge("container_fs_inodes_free",
          "Free inodes of the file system of the writable layer.", FreeInodes,
          {"device"}),
    Gauge("container_fs_inodes_total",
          "Inodes of the file system of the writable layer.", Inodes,
          {"device"}),
    Gauge("container_fs_limit_bytes",
          "Size of the file system of the writable layer.", DiskSize,
          {"device"}),
    Counter("container_fs_reads_bytes_total", "Bytes read.",
            Blocks<&BlockTraffic::read_bytes>, {"device"}),
    Counter("container_fs_reads_total", "Reads done.",
            Blocks<&BlockTraffic::reads>, {"device"}),
    Gauge("container_fs_usage_bytes", "Bytes used by the writable layer.",
          LayerBytes, {"device"}),
    Counter("container_fs_writes_bytes_total", "Bytes written.",
            Blocks<&BlockTraffic::written_bytes>, {"device"}),
    Counter("container_fs_writes_total", "Writes done.",
            Blocks<&BlockTraffic::writes>, {"device"}),
    Gauge("container_hugetlb_usage_bytes", "Huge pages in use.", HugePages,
          {"pagesize"}),
    Gauge("container_last_seen",
          "When the guest last told, in seconds since 1970.", LastSeen),
    Gauge("container_memory_cache", "Bytes of page cache.",
          Figure<&U::memory_cache_bytes>),
    Counter("container_memory_failcnt",
            "Allocations that met the memory limit.",
            Figure<&U::memory_limit_hits>),
    Counter("container_memory_failures_total",
            "Page faults: pgfault all, pgmajfault those that had to read.",
            PageFaults, {"failure_type", "scope"}),
    Gauge("container_memory_kernel_usage", "Bytes that the kernel uses for it.",
          Figure<&U::memory_kernel_bytes>),
    Gauge("container_memory_mapped_file", "Bytes of mapped files.",
          Figure<&U::memory_mapped_file_bytes>),
    Gauge("container_memory_max_usage_bytes",
          "The most bytes that were in use.", Figure<&U::memory_peak_bytes>),
    Gauge("container_memory_rss", "Bytes of anonymous memory.",
          Figure<&U::memory_rss_bytes>),
    Gauge("container_memory_swap", "Bytes of swap in use.",
          Figure<&U::memory_swap_bytes>),
    Gauge("container_memory_usage_bytes", "Bytes in use, with page cache.",
          Figure<&U::memory_usage_bytes>),
    Gauge("container_memory_working_set_bytes",
          "Bytes in use without inactive page cache.",
          Figure<&U::memory_working_set_bytes>),
    From(Source::kPod,
         Counter("container_network_receive_bytes_total", "Bytes received.",
                 Network<&InterfaceTraffic::received, &Direction::bytes>,
                 {"interface"})),
    From(Source::kPod,
         Counter("container_network_receive_errors_total",
                 "Errors in receiving.",
                 Network<&InterfaceTraffic::received, &Direction::errors>,
                 {"interface"})),
    From(Source::kPod,
         Counter("container_network_receive_packets_dropped_total",
                 "Packets dropped in receiving.",
                 Network<&InterfaceTraffic::received, &Direction::dropped>,
                 {"interface"})),
    From(Source::kPod,
         Counter("container_network_receive_packets_total", "Packets received.",
                 Network<&InterfaceTraffic::received, &Direction::packets>,
                 {"interface"})),
    From(Source::kPod,
         Counter("container_network_transmit_bytes_total", "Bytes sent.",
                 Network<&InterfaceTraffic::sent, &Direction::bytes>,
                 {"interface"})),
    From(
        Source::kPod,
        Counter("container_network_transmit_errors_total", "Errors in sending.",
                Network<&InterfaceTraffic::sent, &Direction::errors>,
                {"interface"})),
    From(Source::kPod,
         Counter("container_network_transmit_packets_dropped_total",
                 "Packets dropped in sending.",
                 Network<&InterfaceTraffic::sent, &Direction::dropped>,
                 {"interface"})),
    From(Source::kPod,
         Counter("container_network_transmit_packets_total", "Packets sent.",
                 Network<&InterfaceTraffic::sent, &Direction::packets>,
                 {"interface"})),
    Counter("container_oom_events_total",
            "Processes killed for want of memory.", Figure<&U::oom_kills>),
    Counter("container_pressure_cpu_stalled_seconds_total",
            "Seconds for which all its tasks waited for a CPU.",
            Pressure<&U::cpu_pressure, &ResourcePressure::full>),
    Counter("container_pressure_cpu_waiting_seconds_total",
            "Seconds for which a task of it waited for a CPU.",
            Pressure<&U::cpu_pressure, &ResourcePressure::some>),
    Counter("container_pressure_io_stalled_seconds_total",
            "Seconds for which all its tasks waited for a disk.",
            Pressure<&U::io_pressure, &ResourcePressure::full>),
    Counter("container_pressure_io_waiting_seconds_total",
            "Seconds for which a task of it waited for a disk.",
            Pressure<&U::io_pressure, &ResourcePressure::some>),
    Counter("container_pressure_memory_stalled_seconds_total",
            "Seconds for which all its tasks waited for memory.",
            Pressure<&U::memory_pressure, &ResourcePressure::full>),
    Counter("container_pressure_memory_waiting_seconds_total",
            "Seconds for which a task of it waited for memory.",
            Pressure<&U::memory_pressure, &ResourcePressure::some>),
    Gauge("container_processes", "Processes.", Figure<&U::processes>),
    Gauge("container_sockets", "Open sockets of all processes.",
          Figure<&U::sockets>),
    Gauge("container_spec_cpu_period",
          "Period of the CPU limit in microseconds.",
          Figure<&U::cpu_period_micros>),
    Gauge("container_spec_cpu_quota", "CPU limit: microseconds in each period.",
          Figure<&U::cpu_quota_micros>),
    From(Source::kDaemon,
         Gauge("container_spec_cpu_shares", "CPU shares.", CpuShares)),
    Gauge("container_spec_memory_limit_bytes", "Memory limit; 0 for none.",
          Figure<&U::memory_limit_bytes>),
    Gauge("container_spec_memory_reservation_limit_bytes",
          "Memory that is kept from being reclaimed.",
          Figure<&U::memory_low_bytes>),
    Gauge("container_spec_memory_swap_limit_bytes",
          "Swap limit; 0 for none, or for no swap at all.",
          Figure<&U::memory_swap_limit_bytes>),
    From(Source::kDaemon,
         Gauge("container_start_time_seconds",
               "When it was started, in seconds since 1970.", StartTime)),
    Gauge("container_threads", "Threads of all processes.", Figure<&U::pids>),
    Gauge("container_threads_max",
          "The most threads there may be; 0 for no limit.",
          Figure<&U::threads_max>),
    Gauge("container_ulimits_soft", "Soft limits of the first process.",
          OpenFilesLimit, {"ulimit"}),
};

void AddMetrics(const MetricRow& row, const Subject& subject,
                absl::Time timestamp, const std::vector<std::string>& labels,
                google::protobuf::RepeatedPtrField<runtime::v1::Metric>* into) {
  for (Series& series : row.read(subject)) {
    runtime::v1::Metric* metric = into->Add();
    metric->set_name(row.name);
    if (row.source != Source::kDaemon) {
      metric->set_timestamp(absl::ToUnixNanos(timestamp));
    }
    metric->set_metric_type(row.type);
    for (const std::string& label : labels) metric->add_label_values(label);
    for (std::string& label : series.labels) {
      metric->add_label_values(std::move(label));
    }
    metric->mutable_value()->set_value(series.value);
  }
}

runtime::v1::ContainerMetrics OfContainer(
    const PodUsage& pod, const ContainerStatsSnapshot& container) {
  runtime::v1::ContainerMetrics metrics;
  metrics.set_container_id(container.id.value());
  const absl::Time timestamp = container.usage.timestamp;
  for (const MetricRow& row : kMetrics) {
    if (row.source == Source::kPod || (row.source == Source::kContainer &&
                                       timestamp == absl::InfinitePast())) {
      continue;
    }
    AddMetrics(row, {pod, container}, timestamp,
               {container.id.value(), container.name, container.image},
               metrics.mutable_metrics());
  }
  return metrics;
}

}  // namespace

std::vector<runtime::v1::MetricDescriptor> MetricDescriptors() {
  std::vector<runtime::v1::MetricDescriptor> descriptors;
  for (const MetricRow& row : kMetrics) {
    runtime::v1::MetricDescriptor& descriptor = descriptors.emplace_back();
    descriptor.set_name(row.name);
    descriptor.set_help(row.help);
    for (const char* key : {"id", "name", "image"}) {
      descriptor.add_label_keys(key);
    }
    for (const char* key : row.labels) {
      if (key != nullptr) descriptor.add_label_keys(key);
    }
  }
  return descriptors;
}

runtime::v1::PodSandboxMetrics ToPodSandboxMetrics(
    const PodSnapshot& pod,
    absl::Span<const ContainerStatsSnapshot> containers) {
  runtime::v1::PodSandboxMetrics metrics;
  metrics.set_pod_sandbox_id(pod.id.value());
  if (pod.usage.timestamp != absl::InfinitePast()) {
    for (const MetricRow& row : kMetrics) {
      if (row.source != Source::kPod) continue;
      AddMetrics(row, {pod.usage, {}}, pod.usage.timestamp,
                 {pod.id.value(), "POD", ""}, metrics.mutable_metrics());
    }
  }
  for (const ContainerStatsSnapshot& container : containers) {
    if (container.pod != pod.id ||
        container.phase != ContainerPhase::kRunning) {
      continue;
    }
    *metrics.add_container_metrics() = OfContainer(pod.usage, container);
  }
  return metrics;
}

}  // namespace podvisor
