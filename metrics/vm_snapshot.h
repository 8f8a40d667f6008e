#ifndef PODVISOR_METRICS_VM_SNAPSHOT_H_
#define PODVISOR_METRICS_VM_SNAPSHOT_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "base/ids.h"

namespace podvisor {

// Time that tasks in a guest have waited, since its boot.
struct PressureTimes {
  double some_seconds = 0;
  double full_seconds = 0;
};

// One VM's measured values at one moment, as a sampler puts them together. A
// value. What was not measured is absent, and no series is exported for it: a
// zero always means a measured zero. Sizes are bytes; totals are since the VM's
// start.
struct VmSnapshot {
  PodId id;
  std::string name_space;
  std::string pod;
  std::string uid;
  std::optional<absl::Time> sampled_at;

  std::string accelerator;     // "kvm", "tcg"
  std::string kernel_release;  // of the guest
  std::string agent_version;

  int target_vcpus = 0;
  std::optional<int> plugged_vcpus;  // QEMU's answer
  std::optional<int> online_vcpus;   // the guest's answer
  int max_vcpus = 0;

  int64_t base_memory_bytes = 0;
  int64_t target_memory_bytes = 0;
  std::optional<int64_t> plugged_memory_bytes;  // QEMU's answer
  std::optional<int64_t> online_memory_bytes;   // the guest's answer
  int64_t max_memory_bytes = 0;
  int memory_slots_used = 0;
  int memory_slots_total = 0;
  int64_t shortfall_bytes = 0;
  bool cpu_clamped = false;
  bool memory_clamped = false;
  // Only of a pod with a memory limit.
  std::optional<int64_t> accounting_excess_bytes;

  std::optional<double> vcpu_seconds;
  std::optional<double> vmm_seconds;
  std::optional<double> virtiofsd_seconds;
  std::optional<int64_t> host_rss_bytes;
  std::optional<int64_t> host_pss_bytes;

  // The total is online_memory_bytes.
  std::optional<int64_t> guest_memory_available_bytes;
  std::optional<PressureTimes> cpu_pressure;
  std::optional<PressureTimes> memory_pressure;
  std::optional<PressureTimes> io_pressure;

  std::optional<uint64_t> network_received_bytes;
  std::optional<uint64_t> network_sent_bytes;
  std::optional<uint64_t> block_read_bytes;
  std::optional<uint64_t> block_written_bytes;
};

}  // namespace podvisor

#endif  // PODVISOR_METRICS_VM_SNAPSHOT_H_
