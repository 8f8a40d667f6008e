#include "sandbox/parts/pod_sample.h"

#include <cstdint>
#include <optional>

#include "sandbox/vm/vm_usage.h"

namespace podvisor {
namespace {

PressureTimes PressureOf(const agent::v1::Pressure& pressure) {
  return {static_cast<double>(pressure.some_total_micros()) * 1e-6,
          static_cast<double>(pressure.full_total_micros()) * 1e-6};
}

ResourcePressure WaitsOf(const agent::v1::Pressure& pressure) {
  return {.some = {.total_micros = pressure.some_total_micros(),
                   .avg10 = pressure.some_avg10(),
                   .avg60 = pressure.some_avg60(),
                   .avg300 = pressure.some_avg300()},
          .full = {.total_micros = pressure.full_total_micros(),
                   .avg10 = pressure.full_avg10(),
                   .avg60 = pressure.full_avg60(),
                   .avg300 = pressure.full_avg300()}};
}

// What the guest may leave out.
void AddOptionalFigures(const agent::v1::ContainerStats& stats,
                        ContainerUsage* usage) {
  using S = agent::v1::ContainerStats;
  using U = ContainerUsage;
  struct Figure {
    bool (S::*has)() const;
    uint64_t (S::*value)() const;
    std::optional<uint64_t> U::*into;
  };
  static constexpr Figure kFigures[] = {
      {&S::has_cpu_user_nanos, &S::cpu_user_nanos, &U::cpu_user_nanos},
      {&S::has_cpu_system_nanos, &S::cpu_system_nanos, &U::cpu_system_nanos},
      {&S::has_cpu_periods, &S::cpu_periods, &U::cpu_periods},
      {&S::has_cpu_throttled_periods, &S::cpu_throttled_periods,
       &U::cpu_throttled_periods},
      {&S::has_cpu_throttled_nanos, &S::cpu_throttled_nanos,
       &U::cpu_throttled_nanos},
      {&S::has_cpu_period_micros, &S::cpu_period_micros, &U::cpu_period_micros},
      {&S::has_cpu_quota_micros, &S::cpu_quota_micros, &U::cpu_quota_micros},
      {&S::has_memory_cache_bytes, &S::memory_cache_bytes,
       &U::memory_cache_bytes},
      {&S::has_memory_mapped_file_bytes, &S::memory_mapped_file_bytes,
       &U::memory_mapped_file_bytes},
      {&S::has_memory_kernel_bytes, &S::memory_kernel_bytes,
       &U::memory_kernel_bytes},
      {&S::has_memory_peak_bytes, &S::memory_peak_bytes, &U::memory_peak_bytes},
      {&S::has_memory_swap_bytes, &S::memory_swap_bytes, &U::memory_swap_bytes},
      {&S::has_memory_swap_limit_bytes, &S::memory_swap_limit_bytes,
       &U::memory_swap_limit_bytes},
      {&S::has_memory_low_bytes, &S::memory_low_bytes, &U::memory_low_bytes},
      {&S::has_memory_limit_hits, &S::memory_limit_hits, &U::memory_limit_hits},
      {&S::has_oom_kills, &S::oom_kills, &U::oom_kills},
      {&S::has_threads_max, &S::threads_max, &U::threads_max},
      {&S::has_processes, &S::processes, &U::processes},
      {&S::has_file_descriptors, &S::file_descriptors, &U::file_descriptors},
      {&S::has_sockets, &S::sockets, &U::sockets},
      {&S::has_max_open_files, &S::max_open_files, &U::max_open_files},
  };
  for (const Figure& figure : kFigures) {
    if ((stats.*figure.has)()) usage->*figure.into = (stats.*figure.value)();
  }
  if (stats.has_cpu_pressure()) {
    usage->cpu_pressure = WaitsOf(stats.cpu_pressure());
  }
  if (stats.has_memory_pressure()) {
    usage->memory_pressure = WaitsOf(stats.memory_pressure());
  }
  if (stats.has_io_pressure()) {
    usage->io_pressure = WaitsOf(stats.io_pressure());
  }
}

}  // namespace

ContainerUsage UsageOf(const agent::v1::ContainerStats& stats) {
  ContainerUsage usage;
  usage.timestamp = absl::FromUnixNanos(stats.timestamp_unix_nanos());
  usage.cpu_usage_nanos = stats.cpu_usage_nanos();
  usage.memory_usage_bytes = stats.memory_usage_bytes();
  usage.memory_working_set_bytes = stats.memory_working_set_bytes();
  usage.memory_rss_bytes = stats.memory_rss_bytes();
  usage.memory_page_faults = stats.memory_page_faults();
  usage.memory_major_page_faults = stats.memory_major_page_faults();
  usage.memory_limit_bytes = stats.memory_limit_bytes();
  usage.pids = stats.pids();
  usage.writable_layer_bytes = stats.writable_layer_bytes();
  usage.writable_layer_inodes = stats.writable_layer_inodes();
  AddOptionalFigures(stats, &usage);
  for (const auto& device : stats.block_devices()) {
    usage.block_devices.push_back({.device = device.name(),
                                   .major_number = device.major_number(),
                                   .minor_number = device.minor_number(),
                                   .read_bytes = device.read_bytes(),
                                   .written_bytes = device.written_bytes(),
                                   .reads = device.reads(),
                                   .writes = device.writes()});
  }
  for (const auto& pages : stats.huge_pages()) {
    usage.huge_pages.push_back({pages.size(), pages.bytes()});
  }
  return usage;
}

void AddNetworkTraffic(const PodUsage& usage, VmSnapshot* into) {
  if (usage.interfaces.empty()) return;
  uint64_t received = 0;
  uint64_t sent = 0;
  for (const InterfaceTraffic& one : usage.interfaces) {
    received += one.received.bytes;
    sent += one.sent.bytes;
  }
  into->network_received_bytes = received;
  into->network_sent_bytes = sent;
}

PodUsage PodUsageOf(const agent::v1::GetStatsResponse& stats, absl::Time now) {
  PodUsage usage;
  usage.timestamp = now;
  for (const auto& one : stats.interfaces()) {
    usage.interfaces.push_back(
        {.name = one.name(),
         .received = {one.receive_bytes(), one.receive_packets(),
                      one.receive_errors(), one.receive_dropped()},
         .sent = {one.transmit_bytes(), one.transmit_packets(),
                  one.transmit_errors(), one.transmit_dropped()}});
  }
  if (stats.has_scratch()) {
    const auto& scratch = stats.scratch();
    usage.scratch = {.device = scratch.device(),
                     .bytes = scratch.bytes(),
                     .inodes = scratch.inodes(),
                     .free_inodes = scratch.free_inodes()};
  }
  if (stats.has_pod_cpu_pressure()) {
    usage.cpu_pressure = WaitsOf(stats.pod_cpu_pressure());
  }
  if (stats.has_pod_memory_pressure()) {
    usage.memory_pressure = WaitsOf(stats.pod_memory_pressure());
  }
  if (stats.has_pod_io_pressure()) {
    usage.io_pressure = WaitsOf(stats.pod_io_pressure());
  }
  return usage;
}

void AddGuestPressure(const agent::v1::GetStatsResponse& stats,
                      VmSnapshot* into) {
  if (stats.has_cpu_pressure()) {
    into->cpu_pressure = PressureOf(stats.cpu_pressure());
  }
  if (stats.has_memory_pressure()) {
    into->memory_pressure = PressureOf(stats.memory_pressure());
  }
  if (stats.has_io_pressure()) {
    into->io_pressure = PressureOf(stats.io_pressure());
  }
}

void AddHostUsage(const VmRecord& vm, CpuTime* qemu_time, VmSnapshot* into) {
  const absl::StatusOr<ProcessUsage> qemu = MeasureProcess(vm.qemu);
  if (!qemu.ok()) return;
  qemu_time->Observe(*qemu);
  into->vcpu_seconds = absl::ToDoubleSeconds(qemu_time->vcpus());
  into->vmm_seconds = absl::ToDoubleSeconds(qemu_time->vmm());
  into->host_rss_bytes = qemu->rss_bytes;
  into->host_pss_bytes = qemu->pss_bytes;
  if (!vm.virtiofsd.has_value()) return;
  const absl::StatusOr<ProcessUsage> virtiofsd = MeasureProcess(*vm.virtiofsd);
  if (!virtiofsd.ok()) return;
  into->virtiofsd_seconds = absl::ToDoubleSeconds(virtiofsd->time);
  *into->host_rss_bytes += virtiofsd->rss_bytes;
  *into->host_pss_bytes += virtiofsd->pss_bytes;
}

void AddAccount(const PodAccount& account, VmSnapshot* into) {
  if (account.limit_bytes == 0) return;
  into->accounting_excess_bytes = account.excess_bytes();
}

void AddSizes(const VmSizes& sizes, VmSnapshot* into) {
  into->target_vcpus = sizes.target_vcpus;
  into->plugged_vcpus = sizes.plugged_vcpus;
  into->online_vcpus = sizes.online_vcpus;
  into->max_vcpus = sizes.max_vcpus;
  into->base_memory_bytes = sizes.base_memory_bytes;
  into->target_memory_bytes = sizes.target_memory_bytes;
  into->plugged_memory_bytes = sizes.plugged_memory_bytes;
  into->online_memory_bytes = sizes.online_memory_bytes;
  into->max_memory_bytes = sizes.max_memory_bytes;
  into->memory_slots_used = sizes.memory_slots_used;
  into->memory_slots_total = sizes.memory_slots_total;
  into->shortfall_bytes = sizes.shortfall_bytes;
  into->cpu_clamped = sizes.vcpus_clamped;
  into->memory_clamped = sizes.memory_clamped;
}

}  // namespace podvisor
