#ifndef PODVISOR_METRICS_METRIC_NAMES_H_
#define PODVISOR_METRICS_METRIC_NAMES_H_

#include <array>

namespace podvisor {

// Every metric family that podvisord exports, in one table: the exporter, the
// documents and the dashboards take names, units and labels from here only.
// Base units (seconds, bytes); counters end in _total.

enum class MetricKind { kCounter, kGauge, kHistogram };

struct MetricFamilyInfo {
  const char* name;
  MetricKind kind;
  const char* unit;  // "" for a plain number
  const char* help;
  // True: one set of series per VM, which carries namespace, pod, uid and
  // sandbox_id before `labels`, and goes when the VM does.
  bool per_vm;
  std::array<const char*, 3> labels = {};  // unused ones are nullptr
};

inline constexpr MetricFamilyInfo kVmInfo = {
    "podvisor_vm_info",
    MetricKind::kGauge,
    "",
    "Always 1; what the VM is.",
    true,
    {"accelerator", "kernel", "agent"}};
inline constexpr MetricFamilyInfo kVmVcpus = {
    "podvisor_vm_vcpus",
    MetricKind::kGauge,
    "",
    "vCPUs: target asked for, plugged in QEMU, online in the guest, max.",
    true,
    {"state"}};
inline constexpr MetricFamilyInfo kVmMemory = {
    "podvisor_vm_memory_bytes",
    MetricKind::kGauge,
    "bytes",
    "Memory: base at boot, target asked for, plugged in QEMU, online in the "
    "guest, max.",
    true,
    {"state"}};
inline constexpr MetricFamilyInfo kVmMemorySlots = {"podvisor_vm_memory_slots",
                                                    MetricKind::kGauge,
                                                    "",
                                                    "Slots for memory devices.",
                                                    true,
                                                    {"state"}};
inline constexpr MetricFamilyInfo kVmShortfall = {
    "podvisor_vm_shortfall_bytes", MetricKind::kGauge, "bytes",
    "Memory that was asked back and the guest has not given.", true};
inline constexpr MetricFamilyInfo kVmClamped = {
    "podvisor_vm_clamped",
    MetricKind::kGauge,
    "",
    "1 while a target above the VM's maximum is cut down to it.",
    true,
    {"resource"}};
inline constexpr MetricFamilyInfo kVmAccountingExcess = {
    "podvisor_vm_accounting_excess_bytes", MetricKind::kGauge, "bytes",
    "What the VM can use of the host above its pod's memory limit and "
    "overhead.",
    true};
inline constexpr MetricFamilyInfo kVmResizes = {
    "podvisor_vm_resize_total",
    MetricKind::kCounter,
    "",
    "Attempts to resize: ok, failed, or partial (part of the way; the next "
    "attempt goes on).",
    true,
    {"resource", "direction", "result"}};
inline constexpr MetricFamilyInfo kVmCpuSeconds = {
    "podvisor_vm_cpu_seconds_total",
    MetricKind::kCounter,
    "seconds",
    "CPU time on the host, by who used it.",
    true,
    {"thread"}};
inline constexpr MetricFamilyInfo kVmHostMemory = {
    "podvisor_vm_host_memory_bytes",
    MetricKind::kGauge,
    "bytes",
    "Host memory of the VM's processes.",
    true,
    {"kind"}};
inline constexpr MetricFamilyInfo kVmGuestMemory = {
    "podvisor_vm_guest_memory_bytes",
    MetricKind::kGauge,
    "bytes",
    "Memory as the guest's kernel accounts for it.",
    true,
    {"kind"}};
inline constexpr MetricFamilyInfo kVmPressure = {
    "podvisor_vm_guest_pressure_seconds_total",
    MetricKind::kCounter,
    "seconds",
    "Time that some, or all, tasks in the guest waited for a resource (PSI).",
    true,
    {"resource", "kind"}};
inline constexpr MetricFamilyInfo kVmNetworkReceived = {
    "podvisor_vm_network_receive_bytes_total", MetricKind::kCounter, "bytes",
    "Bytes that the pod received.", true};
inline constexpr MetricFamilyInfo kVmNetworkSent = {
    "podvisor_vm_network_transmit_bytes_total", MetricKind::kCounter, "bytes",
    "Bytes that the pod sent.", true};
inline constexpr MetricFamilyInfo kVmBlockRead = {
    "podvisor_vm_block_read_bytes_total", MetricKind::kCounter, "bytes",
    "Bytes read from the VM's disks.", true};
inline constexpr MetricFamilyInfo kVmBlockWritten = {
    "podvisor_vm_block_written_bytes_total", MetricKind::kCounter, "bytes",
    "Bytes written to the VM's disks.", true};
inline constexpr MetricFamilyInfo kVmSampleTime = {
    "podvisor_vm_sample_timestamp_seconds", MetricKind::kGauge, "seconds",
    "When the VM's values were last taken; a wedged guest's grow old.", true};

inline constexpr MetricFamilyInfo kVmResizeSeconds = {
    "podvisor_vm_resize_seconds",
    MetricKind::kHistogram,
    "seconds",
    "Duration of attempts to resize that did not fail, over all VMs: at QEMU "
    "(vm), until the guest followed, total.",
    false,
    {"resource", "direction", "phase"}};
inline constexpr MetricFamilyInfo kVmBootSeconds = {
    "podvisor_vm_boot_seconds",
    MetricKind::kHistogram,
    "seconds",
    "Duration of the phases of a VM's start, over all VMs.",
    false,
    {"phase"}};
inline constexpr MetricFamilyInfo kVmExits = {"podvisor_vm_exits_total",
                                              MetricKind::kCounter,
                                              "",
                                              "VMs that ended, by reason.",
                                              false,
                                              {"reason"}};
inline constexpr MetricFamilyInfo kVms = {"podvisor_vms", MetricKind::kGauge,
                                          "", "VMs that run.", false};
inline constexpr MetricFamilyInfo kCriRequests = {
    "podvisor_cri_requests_total",
    MetricKind::kCounter,
    "",
    "CRI calls that have ended, by gRPC status code.",
    false,
    {"method", "code"}};
inline constexpr MetricFamilyInfo kCriRequestSeconds = {
    "podvisor_cri_request_seconds",
    MetricKind::kHistogram,
    "seconds",
    "Duration of CRI calls.",
    false,
    {"method"}};
inline constexpr MetricFamilyInfo kLogLinesDropped = {
    "podvisor_container_log_lines_dropped_total", MetricKind::kCounter, "",
    "Lines of containers that could not be written to their logs.", false};
inline constexpr MetricFamilyInfo kBrokenRecords = {
    "podvisor_state_broken_records_total", MetricKind::kCounter, "",
    "Records that could not be read from the state database.", false};
inline constexpr MetricFamilyInfo kBuildInfo = {
    "podvisor_build_info",
    MetricKind::kGauge,
    "",
    "Always 1; what this daemon is.",
    false,
    {"version", "accelerator", "qemu"}};

inline constexpr const MetricFamilyInfo* kAllMetrics[] = {
    &kBuildInfo,
    &kVms,
    &kVmInfo,
    &kVmVcpus,
    &kVmMemory,
    &kVmMemorySlots,
    &kVmShortfall,
    &kVmClamped,
    &kVmAccountingExcess,
    &kVmResizes,
    &kVmCpuSeconds,
    &kVmHostMemory,
    &kVmGuestMemory,
    &kVmPressure,
    &kVmNetworkReceived,
    &kVmNetworkSent,
    &kVmBlockRead,
    &kVmBlockWritten,
    &kVmSampleTime,
    &kVmResizeSeconds,
    &kVmBootSeconds,
    &kVmExits,
    &kCriRequests,
    &kCriRequestSeconds,
    &kLogLinesDropped,
    &kBrokenRecords,
};

}  // namespace podvisor

#endif  // PODVISOR_METRICS_METRIC_NAMES_H_
