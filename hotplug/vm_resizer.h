#ifndef PODVISOR_HOTPLUG_VM_RESIZER_H_
#define PODVISOR_HOTPLUG_VM_RESIZER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "guestagent/client/guest_resources.h"
#include "hotplug/qmp_client.h"
#include "hotplug/resize_plan.h"
#include "hotplug/vm_limits.h"
#include "hotplug/vm_size.h"

namespace podvisor {

struct VmResizerOptions {
  // The bridge or root port that gets the virtio-mem device when memory first
  // grows, and its slot there; an empty slot lets QEMU choose.
  std::string memory_bus;
  std::string memory_slot;
  // One QMP command; what must be awaited has the deadline of the call.
  absl::Duration command_timeout = absl::Seconds(5);
  // How long putting back may take after a failed grow, whose own deadline is
  // usually over.
  absl::Duration rollback_timeout = absl::Seconds(10);
  // How often a size is looked at while QEMU and the guest settle.
  absl::Duration poll_interval = absl::Milliseconds(10);
};

struct StepTiming {
  ResizeStep step;
  absl::Duration duration;
};

struct ResizeOutcome {
  // Read back after the last step.
  VmState observed;
  // What a shrink did not give back. The guest may still do so later; resize
  // to the same target again to find out. After a grow both are zero.
  int64_t shortfall_bytes = 0;
  int shortfall_vcpus = 0;
  std::vector<StepTiming> timings;
};

// Brings one VM to a size: observes, plans, acts, and reads back what came of
// it, at QEMU and at the guest.
//
// Has no state of its own: all it knows it reads from QEMU and the guest, so
// that a daemon that was restarted goes on where the last one was killed.
// Devices get the ids "cpu1", "cpu2", ... and "virtiomem0" or
// "dimm0", "dimm1", ...
//
// Thread-safe, but one Resize() of a VM at a time: two of them would undo each
// other's work. Observe() may run beside it.
// Ownership: borrows `qmp`, `guest` and `clock`, which outlive it.
class VmResizer {
 public:
  VmResizer(QmpClient* qmp, GuestResources* guest, Clock* clock,
            const VmLimits& limits, VmResizerOptions options);

  // Errors: those of QmpClient and GuestResources, with "VM: " or
  // "guest online: " in front.
  absl::StatusOr<VmState> Observe(absl::Time deadline);

  // Brings the VM from `before`, as Observe() has just found it, to `target` (a
  // size from TargetFor()).
  //
  // A grow happens wholly or not at all: when it fails, what was added is
  // taken away again and the error says whether that worked. A shrink that
  // gives back less than asked, because the guest refuses or is slow, is a
  // shortfall and not an error. A VM that already has the size is left alone.
  //
  // `deadline` is for the steps. What came of them is looked at in any case,
  // and may take `command_timeout` longer; putting back has its own time.
  //
  // Errors, with the stage ("VM: ..." or "guest online: ...") in front:
  //   InvalidArgument    a target that can never be.
  //   ResourceExhausted  above the limits, or QEMU refused to grow.
  //   DeadlineExceeded   the guest did not take what was added, or QEMU does
  //                      not answer.
  //   Unavailable        QEMU or the agent is gone.
  //   DataLoss           QEMU or the agent talk nonsense.
  absl::StatusOr<ResizeOutcome> Resize(const VmState& before,
                                       const VmSize& target,
                                       absl::Time deadline);
  // The same, after an Observe().
  absl::StatusOr<ResizeOutcome> Resize(const VmSize& target,
                                       absl::Time deadline);

  // Brings the VM from `before` to at least `target`, and waits for nothing
  // else: what it has above stays, and a shrink under way is not waited for.
  // Errors as above.
  absl::StatusOr<ResizeOutcome> Grow(const VmState& before,
                                     const VmSize& target, absl::Time deadline);

 private:
  class Run;
  // PlanResize() or PlanGrow().
  using Planner = absl::StatusOr<ResizePlan> (*)(const VmLimits&,
                                                 const VmState&, const VmSize&);

  // From `before`, which is what the VM has now.
  absl::StatusOr<ResizeOutcome> Reach(Run& run, Planner planner,
                                      const VmState& before,
                                      const VmSize& target);
  // Plans from `before` and acts. A shrink that the guest does not follow is
  // OK: what came of it is observed.
  absl::Status Apply(Run& run, Planner planner, const VmLimits& limits,
                     const VmState& before, const VmSize& target,
                     std::vector<StepTiming>& timings);
  // Returns what is there afterwards: the guest may keep some.
  absl::StatusOr<VmState> RemoveNewDimms(Run& run, const VmState& before,
                                         const VmState& now);
  // Takes away again what `before` did not have. Gives nothing back that has
  // gone meanwhile: the caller wanted it to go.
  absl::Status PutBack(const VmState& before);
  // `cause`, after PutBack() and with what came of it.
  absl::Status Undo(const VmState& before, const absl::Status& cause);

  QmpClient* const qmp_;
  GuestResources* const guest_;
  Clock* const clock_;
  const VmLimits limits_;
  const VmResizerOptions options_;
};

}  // namespace podvisor

#endif  // PODVISOR_HOTPLUG_VM_RESIZER_H_
