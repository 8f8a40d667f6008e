#ifndef PODVISOR_SANDBOX_PARTS_POD_RESIZER_H_
#define PODVISOR_SANDBOX_PARTS_POD_RESIZER_H_

#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "sandbox/container/container.h"
#include "sandbox/container/operation_lock.h"
#include "sandbox/parts/pod_accounting.h"
#include "sandbox/parts/pod_guest.h"
#include "sandbox/parts/pod_sampler.h"
#include "sandbox/parts/settle_timer.h"
#include "sandbox/parts/stored_pod.h"
#include "sandbox/parts/wanted_size.h"
#include "sandbox/size/pod_settings.h"
#include "sandbox/size/pod_sizing.h"

namespace podvisor {

// What a PodResizer works on; all borrowed.
struct PodResizerParts {
  const PodSettings* settings = nullptr;
  OperationLock* operation_lock = nullptr;
  StoredPod* pod = nullptr;
  const PodGuest* guest = nullptr;
  const WantedSize* wanted = nullptr;
  PodAccounting* accounting = nullptr;
  PodSampler* sampler = nullptr;
  SettleTimer* settle = nullptr;
};

// Makes a pod's VM larger while somebody waits for it. What it has too much is
// given back by the SettleLoop, for which nobody waits.
//
// Verify() and UpdateTotals() take the pod's operation lock; Sizing() does
// without; all else is for whoever holds it. No lock of its own.
class PodResizer {
 public:
  explicit PodResizer(const PodResizerParts& parts) : parts_(parts) {}

  // All that a plan is made from; nothing unless the pod is kReady.
  std::optional<ObservedSizing> Sizing() const;

  // What the VM is to have once the pod is ready, which its account then
  // covers. Before there is a VM. Errors: InvalidArgument, and the guard's.
  absl::StatusOr<VmTarget> PlanBoot(const VmLimits& limits);
  // Brings a VM that has just booted to that. Errors: as Grow().
  absl::Status GrowAfterBoot(const VmTarget& target, absl::Time deadline);

  // Whether the CPUs that `asking` is to have are there in a VM that is as
  // large as all want it once `asking` has `after`. Errors: CheckCpuset() of
  // cpuset.h.
  absl::Status CheckCpusetOf(const Container& asking,
                             const ContainerResources& after) const;
  // Makes the VM at least as large as all containers want it now, those that
  // wait for their turn included: they find their room there. Where that is
  // more than there is, at least as large as it was to be without them and with
  // `asking`, if any. Keeps its vCPUs where those that have their room, and
  // `asking`, want them on the host. What is larger than it has to be after an
  // error is given back by the loop.
  //
  // Errors, all of them "the VM cannot grow: ...": those of VmResizer::Grow(),
  // but ResourceExhausted for a guest that does not take in time what it is
  // given; of the guard, of the cgroup, and of PinVcpus().
  absl::Status Grow(const Container* asking, absl::Time deadline);
  // Looks whether the VM is as large as its containers want it, and makes it so
  // where it is not.
  absl::Status Verify(absl::Time deadline);

  // Replaces what was given for the whole pod; what is absent stays. The VM
  // grows first; after an error all is as it was. Errors: FailedPrecondition
  // unless the pod is kReady, those of Grow(), and the store's.
  absl::Status UpdateTotals(const std::optional<ContainerResources>& resources,
                            const std::optional<ContainerResources>& overhead,
                            absl::Time deadline);

  // Keeps the VM's vCPUs where its containers want them: without those that
  // wait for their room, which nobody has looked at yet, but with `asking`, if
  // any. Errors: PodVm::PinVcpus()'s.
  absl::Status PinVcpus(const Container* asking, absl::Time deadline);

 private:
  // As Grow(), for a pod of which `totals` are said.
  absl::Status GrowWithin(const PodTotals& totals, const Container* asking,
                          absl::Time deadline);
  // To `target`, or where that cannot be had, or not in half of the time, to
  // `least`.
  absl::Status GrowTo(const PodTotals& totals, const VmTarget& target,
                      const VmTarget& least, const Container* asking,
                      absl::Time deadline);
  // Warns of a target that is less than the containers ask for.
  void LogCuts(const VmTarget& target) const;

  const PodResizerParts parts_;
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_PARTS_POD_RESIZER_H_
