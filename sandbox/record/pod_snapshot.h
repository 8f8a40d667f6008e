#ifndef PODVISOR_SANDBOX_RECORD_POD_SNAPSHOT_H_
#define PODVISOR_SANDBOX_RECORD_POD_SNAPSHOT_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/ids.h"
#include "hotplug/container_resources.h"
#include "sandbox/record/container_spec.h"
#include "sandbox/record/container_state.h"
#include "sandbox/record/container_usage.h"
#include "sandbox/record/pod_account.h"
#include "sandbox/record/pod_spec.h"
#include "sandbox/record/sandbox_state.h"

namespace podvisor {

// Values: what the daemon knows of its pods and containers at one moment, taken
// from its own memory without asking any guest. The CRI layer converts them
// into replies and filters lists of them. Copyable; no thread has to care.
//
// Sizes are bytes. A time that has not come yet is absl::InfinitePast().

// The VM's size in each sense of docs/glossary.md. What was asked for
// (target) is never copied into what was observed (plugged, online).
struct VmSizes {
  // When QEMU and the guest last told their figures.
  absl::Time observed_at = absl::InfinitePast();

  // Of CPUs.
  int base_vcpus = 0;
  int target_vcpus = 0;   // what the pod's containers want now
  int plugged_vcpus = 0;  // QEMU: query-hotpluggable-cpus
  int online_vcpus = 0;   // guest: what the agent counted
  int max_vcpus = 0;

  // Of memory.
  int64_t base_memory_bytes = 0;
  int64_t target_memory_bytes = 0;
  int64_t plugged_memory_bytes = 0;  // boot memory plus QEMU's memory devices
  int64_t online_memory_bytes = 0;   // guest: MemTotal
  int64_t max_memory_bytes = 0;
  int memory_slots_used = 0;
  int memory_slots_total = 0;

  // What was asked back and the guest has not given.
  int64_t shortfall_bytes = 0;
  // A target above the maximum was cut down to it.
  bool vcpus_clamped = false;
  bool memory_clamped = false;
  // What the containers ask for together above the limits of their own pod, and
  // so is no part of the target.
  int64_t cut_milli_cpu = 0;
  int64_t cut_memory_bytes = 0;

  bool operator==(const VmSizes&) const = default;
};

struct PodSnapshot {
  PodId id;
  PodSpec spec;
  SandboxState state = SandboxState::kCreating;
  absl::Time created_at = absl::InfinitePast();
  std::vector<std::string> ips;  // the first is the pod's address

  VmSizes vm;
  PodAccount account;  // with the VM at its target
  // Why the VM ended; else of the last grow that failed, until one works; else
  // of the last attempt to bring the VM to its size, or a cgroup to what its
  // container has. Empty: none.
  std::string last_error;
  std::string accelerator;  // "kvm" or "tcg"
  std::string agent_version;
  std::string kernel_release;  // of the guest
  absl::Duration boot_time = absl::ZeroDuration();
  int64_t vmm_pid = 0;       // 0: no VMM runs
  std::string console_path;  // of the guest's console on this host; or empty
  std::string cgroup_path;   // of the VMM on this host; or empty
  PodUsage usage;            // as last sampled

  bool operator==(const PodSnapshot&) const = default;
};

// The user that the first process really runs as.
struct ResolvedUser {
  int64_t uid = 0;
  int64_t gid = 0;
  std::vector<int64_t> supplemental_groups;

  bool operator==(const ResolvedUser&) const = default;
};

struct ContainerSnapshot {
  ContainerId id;
  PodId pod;
  ContainerSpec spec;
  ContainerPhase phase = ContainerPhase::kCreating;
  absl::Time created_at = absl::InfinitePast();
  absl::Time started_at = absl::InfinitePast();
  absl::Time finished_at = absl::InfinitePast();
  int exit_code = 0;     // with kExited; 128 + signal for a signal
  std::string reason;    // "Completed", "Error", "OOMKilled", "StartError", ...
  std::string message;   // for people; cleaned and bounded
  std::string image_id;  // "sha256:<hex>"
  std::string image_ref;  // what ContainerStatus.image_ref says: the image id
  std::optional<ResolvedUser> user;
  std::string log_path;     // absolute; empty: no log
  std::string stop_signal;  // in force, "SIGTERM"; empty: not known
  // What the guest's cgroup really has, in the units of the request. What an
  // update may have changed that neither worked nor could be taken back is not
  // given until it is known again.
  ContainerResources applied;

  bool operator==(const ContainerSnapshot&) const = default;
};

struct ContainerStatsSnapshot {
  ContainerId id;
  PodId pod;
  ContainerPhase phase = ContainerPhase::kCreating;
  absl::Time started_at = absl::InfinitePast();
  std::string name;
  uint32_t attempt = 0;
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> annotations;
  std::string image;       // as the client named it
  int64_t cpu_shares = 0;  // as applied; 0: not given, or not known now
  ContainerUsage usage;    // as last sampled

  bool operator==(const ContainerStatsSnapshot&) const = default;
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_RECORD_POD_SNAPSHOT_H_
