#ifndef PODVISOR_SANDBOX_SIZE_ACCOUNTING_GUARD_H_
#define PODVISOR_SANDBOX_SIZE_ACCOUNTING_GUARD_H_

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "hotplug/container_resources.h"
#include "hotplug/vm_limits.h"
#include "hotplug/vm_size.h"
#include "sandbox/record/pod_account.h"
#include "sandbox/record/vm_spec.h"

namespace podvisor {

// Whether what a VM can use of its host's memory fits into what the pod is
// accounted for there. Where it does not, the host's OOM killer may end the
// VMM, and with it the pod. All pure.

// The most that a VM of this size costs beside the guest's RAM: QEMU,
// virtiofsd, and what the kernel needs for them. Measured, see
// docs/adr/0012-what-a-vmm-costs.md.
int64_t VmmCostBytes(const VmSize& size, Accelerator accelerator);

// What a VM of this state can use once it is at least `target`: what it has
// beyond that, parked vCPUs included, is not gone as long as nobody takes it
// away, and what it was asked to take may still come.
VmSize UsableSize(const VmLimits& limits, const VmState& observed,
                  const VmSize& target);

// `limits`: the resources of the whole pod, of which the memory limit counts
// (hugepages are ordinary memory of the host, outside of every limit);
// `overhead`: the RuntimeClass's podFixed. InvalidArgument: see DemandOf().
absl::StatusOr<PodAccount> AccountFor(
    const std::optional<ContainerResources>& limits,
    const std::optional<ContainerResources>& overhead, const VmSize& size,
    Accelerator accelerator);

// ResourceExhausted, with the figures and what to change, for an account that
// can be exceeded by more than `accepted` can: whoever shrinks a pod that is
// above its account already is not refused.
absl::Status CheckAccount(const PodAccount& account,
                          const PodAccount& accepted);

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_SIZE_ACCOUNTING_GUARD_H_
