#ifndef PODVISOR_CRI_RESIZE_DRY_RUN_H_
#define PODVISOR_CRI_RESIZE_DRY_RUN_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "hotplug/container_resources.h"
#include "hotplug/pod_demand.h"
#include "hotplug/resize_plan.h"
#include "sandbox/record/pod_spec.h"
#include "sandbox/size/pod_settings.h"
#include "sandbox/size/pod_sizing.h"

namespace podvisor {

// What the daemon would do to a VM, by the functions with which it does it. All
// pure; a dry run goes from one ObservedSizing to the next.

// One resize that would take place, or be refused.
struct DryRunStep {
  absl::Status refused;  // OK: it would take place
  absl::Status warning;  // of the accounting guard, where it only warns
  // Where it can be told: what the resources of the pod leave of what its
  // containers ask for together, and the size that follows.
  PodDemand demand;
  VmTarget target;
  ResizePlan plan;  // empty: the VM is large enough
};

// A VM of this configuration that has just booted, of a pod with `spec`; with
// presize it has what the pod asks for. Errors, those of RunPodSandbox: of
// LimitsOf(), CheckPodFitsWithoutHotplug(), TargetOf(), PlanGrow() and
// CheckAccount().
//
// Its guest is taken to use 64 MiB and an eighth of its memory. Measured are 76
// MiB of 256, 85 of 512, 183 of 1024, 205 of 2048 and 294 of 4096 (Linux 6.1).
absl::StatusOr<ObservedSizing> BootedVm(const PodSettings& settings,
                                        const PodSpec& spec);

// CreateContainer. Unless it is refused, `pod` is afterwards as it would then
// be.
DryRunStep DryRunCreate(const ContainerResources& container,
                        ObservedSizing& pod);

// What is still to be done until the VM has exactly the size that the pod
// wants; the daemon does it when what ended has been held for the shrink delay.
DryRunStep DryRunSettle(const ObservedSizing& pod);

}  // namespace podvisor

#endif  // PODVISOR_CRI_RESIZE_DRY_RUN_H_
