#ifndef PODVISOR_METRICS_SAMPLE_VMS_H_
#define PODVISOR_METRICS_SAMPLE_VMS_H_

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "metrics/pod_metrics.h"

namespace podvisor {

// For tests and benchmarks: a VM with every value measured, and names of the
// usual lengths.
inline VmSnapshot SampleVm(int number) {
  VmSnapshot vm;
  vm.id = PodId(absl::StrFormat("%064x", 0x9e3779b97f4a7c15u * (number + 1u)));
  vm.name_space = "default";
  vm.pod = absl::StrCat("web-7d4b9c6f5-x", number);
  vm.uid = absl::StrFormat("8a6e0804-2bd0-4672-b79d-%012x", number);
  vm.sampled_at = absl::FromUnixMillis(1'700'000'000'123);
  vm.accelerator = "kvm";
  vm.kernel_release = "6.1.0-18-cloud-amd64";
  vm.agent_version = "0.1.0";
  vm.target_vcpus = 3;
  vm.plugged_vcpus = 3;
  vm.online_vcpus = 2;
  vm.max_vcpus = 8;
  vm.base_memory_bytes = int64_t{256} << 20;
  vm.target_memory_bytes = int64_t{1792} << 20;
  vm.plugged_memory_bytes = int64_t{1792} << 20;
  vm.online_memory_bytes = (int64_t{1700} << 20) + 4096;
  vm.max_memory_bytes = int64_t{16} << 30;
  vm.memory_slots_used = 1;
  vm.memory_slots_total = 10;
  vm.shortfall_bytes = int64_t{128} << 20;
  vm.memory_clamped = true;
  vm.accounting_excess_bytes = int64_t{64} << 20;
  vm.vcpu_seconds = 1234.567;
  vm.vmm_seconds = 12.345;
  vm.virtiofsd_seconds = 1.234;
  vm.host_rss_bytes = int64_t{712} << 20;
  vm.host_pss_bytes = int64_t{598} << 20;
  vm.guest_memory_available_bytes = int64_t{900} << 20;
  vm.cpu_pressure = PressureTimes{12.5, 0.25};
  vm.memory_pressure = PressureTimes{1.5, 0.125};
  vm.io_pressure = PressureTimes{3.75, 2.5};
  vm.network_received_bytes = 123'456'789;
  vm.network_sent_bytes = 98'765'432;
  vm.block_read_bytes = 456'789'012;
  vm.block_written_bytes = 56'789'012;
  return vm;
}

// `count` sample VMs that have been resized, and some of everything else.
inline void FillSampleMetrics(int count, PodMetrics* metrics) {
  metrics->SetDaemonInfo({"0.1.0", "kvm", "7.2.22"});
  for (int i = 0; i < count; ++i) {
    const VmSnapshot vm = SampleVm(i);
    metrics->SetVm(vm);
    metrics->CountResize(vm.id, MetricResource::kCpu, ResizeDirection::kGrow,
                         "ok");
    metrics->CountResize(vm.id, MetricResource::kMemory, ResizeDirection::kGrow,
                         "ok");
    metrics->CountResize(vm.id, MetricResource::kMemory,
                         ResizeDirection::kShrink, "partial");
  }
  metrics->ObserveResize(MetricResource::kCpu, ResizeDirection::kGrow, "vm",
                         absl::Milliseconds(12));
  metrics->ObserveBoot("qmp", absl::Milliseconds(80));
  metrics->ObserveBoot("total", absl::Milliseconds(1300));
  metrics->CountVmExit("stopped");
  metrics->CountCriRequest("RunPodSandbox", "OK", absl::Milliseconds(1400));
  metrics->CountCriRequest("PullImage", "NOT_FOUND", absl::Seconds(120));
  metrics->CountDroppedLogLines(7);
}

}  // namespace podvisor

#endif  // PODVISOR_METRICS_SAMPLE_VMS_H_
