#include "cri/convert_pod_stats.h"

#include <algorithm>

#include "cri/convert_status.h"

namespace podvisor {
namespace {

int64_t ToNanos(absl::Time time) {
  return std::max<int64_t>(0, absl::ToUnixNanos(time));
}

void AddPressure(const PodUsage& usage, runtime::v1::LinuxPodSandboxStats* to) {
  if (usage.cpu_pressure.has_value()) {
    *to->mutable_cpu()->mutable_psi() = ToPsiStats(*usage.cpu_pressure);
  }
  if (usage.memory_pressure.has_value()) {
    *to->mutable_memory()->mutable_psi() = ToPsiStats(*usage.memory_pressure);
  }
  if (usage.io_pressure.has_value()) {
    to->mutable_io()->set_timestamp(ToNanos(usage.timestamp));
    *to->mutable_io()->mutable_psi() = ToPsiStats(*usage.io_pressure);
  }
}

void AddNetwork(const PodUsage& usage, runtime::v1::LinuxPodSandboxStats* to) {
  for (const InterfaceTraffic& one : usage.interfaces) {
    auto* network = to->mutable_network();
    network->set_timestamp(ToNanos(usage.timestamp));
    auto* interface = network->has_default_interface()
                          ? network->add_interfaces()
                          : network->mutable_default_interface();
    interface->set_name(one.name);
    interface->mutable_rx_bytes()->set_value(one.received.bytes);
    interface->mutable_rx_errors()->set_value(one.received.errors);
    interface->mutable_tx_bytes()->set_value(one.sent.bytes);
    interface->mutable_tx_errors()->set_value(one.sent.errors);
  }
}

}  // namespace

runtime::v1::PodSandboxStats ToPodSandboxStats(
    const PodSnapshot& pod, absl::Span<const ContainerStatsSnapshot> containers,
    const std::string& writable_layers_directory) {
  runtime::v1::PodSandboxStats stats;
  const runtime::v1::PodSandbox sandbox = ToPodSandbox(pod);
  auto* attributes = stats.mutable_attributes();
  attributes->set_id(sandbox.id());
  *attributes->mutable_metadata() = sandbox.metadata();
  *attributes->mutable_labels() = sandbox.labels();
  *attributes->mutable_annotations() = sandbox.annotations();

  ContainerUsage sum;
  sum.timestamp = pod.created_at;
  auto* linux_stats = stats.mutable_linux();
  for (const ContainerStatsSnapshot& container : containers) {
    if (container.pod != pod.id ||
        container.phase != ContainerPhase::kRunning) {
      continue;
    }
    *linux_stats->add_containers() =
        ToContainerStats(container, writable_layers_directory);
    const ContainerUsage& usage = container.usage;
    sum.timestamp = std::max(sum.timestamp, usage.timestamp);
    sum.cpu_usage_nanos += usage.cpu_usage_nanos;
    sum.memory_usage_bytes += usage.memory_usage_bytes;
    sum.memory_working_set_bytes += usage.memory_working_set_bytes;
    sum.memory_rss_bytes += usage.memory_rss_bytes;
    sum.memory_page_faults += usage.memory_page_faults;
    sum.memory_major_page_faults += usage.memory_major_page_faults;
    sum.pids += usage.pids;
  }
  const int64_t timestamp = ToNanos(sum.timestamp);
  linux_stats->mutable_cpu()->set_timestamp(timestamp);
  linux_stats->mutable_cpu()->mutable_usage_core_nano_seconds()->set_value(
      sum.cpu_usage_nanos);
  auto* memory = linux_stats->mutable_memory();
  memory->set_timestamp(timestamp);
  memory->mutable_usage_bytes()->set_value(sum.memory_usage_bytes);
  memory->mutable_working_set_bytes()->set_value(sum.memory_working_set_bytes);
  memory->mutable_rss_bytes()->set_value(sum.memory_rss_bytes);
  memory->mutable_page_faults()->set_value(sum.memory_page_faults);
  memory->mutable_major_page_faults()->set_value(sum.memory_major_page_faults);
  linux_stats->mutable_process()->set_timestamp(timestamp);
  linux_stats->mutable_process()->mutable_process_count()->set_value(sum.pids);
  AddPressure(pod.usage, linux_stats);
  AddNetwork(pod.usage, linux_stats);
  return stats;
}

}  // namespace podvisor
