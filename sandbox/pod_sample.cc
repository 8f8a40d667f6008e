#include "sandbox/pod_sample.h"

#include "sandbox/vm_usage.h"

namespace podvisor {
namespace {

PressureTimes PressureOf(const agent::v1::Pressure& pressure) {
  return {static_cast<double>(pressure.some_total_micros()) * 1e-6,
          static_cast<double>(pressure.full_total_micros()) * 1e-6};
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

void AddHostUsage(const VmRecord& vm, VmSnapshot* into) {
  const absl::StatusOr<ProcessUsage> qemu = MeasureProcess(vm.qemu);
  if (!qemu.ok()) return;
  into->vcpu_seconds = absl::ToDoubleSeconds(qemu->vcpu_time);
  into->vmm_seconds = absl::ToDoubleSeconds(qemu->other_time);
  into->host_rss_bytes = qemu->rss_bytes;
  into->host_pss_bytes = qemu->pss_bytes;
  if (!vm.virtiofsd.has_value()) return;
  const absl::StatusOr<ProcessUsage> virtiofsd = MeasureProcess(*vm.virtiofsd);
  if (!virtiofsd.ok()) return;
  into->virtiofsd_seconds = absl::ToDoubleSeconds(virtiofsd->other_time);
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
