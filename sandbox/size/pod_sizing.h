#ifndef PODVISOR_SANDBOX_SIZE_POD_SIZING_H_
#define PODVISOR_SANDBOX_SIZE_POD_SIZING_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "hotplug/container_resources.h"
#include "hotplug/pod_demand.h"
#include "hotplug/vm_limits.h"
#include "hotplug/vm_size.h"
#include "sandbox/record/pod_account.h"
#include "sandbox/record/pod_spec.h"
#include "sandbox/record/vm_spec.h"
#include "sandbox/size/cpuset.h"
#include "sandbox/size/pod_settings.h"

namespace podvisor {

// What decides how large a pod's VM is to be. A value.
struct PodSizing {
  std::vector<ContainerResources> containers;  // created or running
  std::optional<ContainerResources> pod_total;
  PodTotalUse pod_total_use = PodTotalUse::kCap;
  SizingRules rules;
  VmLimits limits;
  CpusetMode cpuset = CpusetMode::kPin;

  bool operator==(const PodSizing&) const = default;
};

// The same of a pod that runs, with what its VM was last seen to have, and what
// of its host the pod was last allowed to use: all that a plan is made from.
struct ObservedSizing {
  PodSizing sizing;
  VmState observed;
  PodAccount account;
  AccountingGuard guard = AccountingGuard::kWarn;
  Accelerator accelerator = Accelerator::kTcg;

  bool operator==(const ObservedSizing&) const = default;
};

// The size that the pod wants, and what its own limits cut from it; where
// cpusets name CPUs of the guest, with all that are named, up to the maximum.
// Errors:
// those of DemandOfPod() and TargetFor().
absl::StatusOr<VmTarget> TargetOf(const PodSizing& sizing);

// The size rules of one pod: the configuration, with what the pod's annotations
// say instead. All pure.

// A base of part of a CPU boots one vCPU; memory is rounded up to 2 MiB, which
// QEMU needs for hot plug. A VM without hot plug is as large as its base, for
// which the maximum of the settings holds as well. InvalidArgument, with both
// figures, for a base above the maximum.
absl::StatusOr<VmLimits> LimitsOf(const PodSettings& settings,
                                  const SizeOverrides& overrides);

SizingRules RulesOf(const PodSettings& settings,
                    const SizeOverrides& overrides);

// How much CPU time the VM gets on the host, in milli-CPU, for a pod whose base
// is a part of a CPU: what its base and its containers come to. nullopt: as
// much as its vCPUs can use, as for every other pod.
std::optional<int64_t> HostCpuLimit(const SizingRules& rules,
                                    const VmTarget& target);

// Where memory cannot be plugged, a container whose limit is above the VM's
// memory could never use it: InvalidArgument with both figures.
absl::Status CheckFitsWithoutHotplug(const PodDemand& container,
                                     const VmLimits& limits);

// The same for a pod that is to have what it asks for from the start (presize):
// of CPUs, too, it would never have more than its VM.
absl::Status CheckPodFitsWithoutHotplug(const PodDemand& pod,
                                        const VmLimits& limits);

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_SIZE_POD_SIZING_H_
