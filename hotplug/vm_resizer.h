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
#include "hotplug/resize_run.h"
#include "hotplug/vm_limits.h"
#include "hotplug/vm_size.h"

namespace podvisor {

struct StepTiming {
  ResizeStep step;
  absl::Duration duration;
};

struct ResizeOutcome {
  // Read back after the last step.
  VmState observed;
  // OK, or why the VM is smaller than it was to be. What it was given stays,
  // and the guest may still be taking it: resize to the same target again.
  absl::Status missing;
  // What a shrink did not give back. The guest may still do so later; resize
  // to the same target again to find out. After a Grow() both are zero.
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

  // Brings the VM from `before`, as Observe() has just found it, nearer to
  // `target` (a size from TargetFor()), as near as it gets until `deadline`.
  //
  // Goes on from what is there and takes nothing back, so that many calls with
  // short deadlines end where one with a long one does. A guest that refuses or
  // is slow is no error: what it has not given back is a shortfall, what it has
  // not taken is missing. A VM that already has the size is left alone.
  //
  // `deadline` is for the steps. What came of them is looked at in any case,
  // and may take `command_timeout` longer.
  //
  // Errors, with the stage ("VM: ..." or "guest online: ...") in front:
  //   InvalidArgument    a target that can never be.
  //   ResourceExhausted  above the limits, or QEMU refused to grow.
  //   DeadlineExceeded   QEMU or the guest does not answer.
  //   Unavailable        QEMU or the agent is gone.
  //   DataLoss           QEMU or the agent talk nonsense.
  absl::StatusOr<ResizeOutcome> Resize(const VmState& before,
                                       const VmSize& target,
                                       absl::Time deadline);
  // The same, after an Observe().
  absl::StatusOr<ResizeOutcome> Resize(const VmSize& target,
                                       absl::Time deadline);

  // Brings the VM from `before` to at least `target`; where that fails, or has
  // not come in half of the time, to at least `least`, and then it says what is
  // missing. Waits for nothing else: what the VM has above stays, and a shrink
  // under way is not waited for.
  //
  // Happens or does not: where `least` cannot be had, what was added is taken
  // away again, for which there is extra time, and the error says whether that
  // worked. Errors as above, and
  //   DeadlineExceeded   the guest did not take what was added.
  absl::StatusOr<ResizeOutcome> Grow(const VmState& before,
                                     const VmSize& target, const VmSize& least,
                                     absl::Time deadline);

 private:
  // PlanResize() or PlanGrow().
  using Planner = absl::StatusOr<ResizePlan> (*)(const VmLimits&,
                                                 const VmState&, const VmSize&);

  ResizeRun RunUntil(absl::Time deadline) {
    return ResizeRun(qmp_, guest_, clock_, &limits_, &options_, deadline);
  }
  // From `before`, which is what the VM has now. What a guest does not take in
  // time is missing.
  absl::StatusOr<ResizeOutcome> Reach(ResizeRun& run, Planner planner,
                                      const VmState& before,
                                      const VmSize& target);
  // Plans from `before` and acts. A shrink that the guest does not follow is
  // OK: what came of it is observed.
  absl::Status Apply(ResizeRun& run, Planner planner, const VmLimits& limits,
                     const VmState& before, const VmSize& target,
                     std::vector<StepTiming>& timings);
  // To at least `least`, from wherever the attempt that `hoped` for more ended.
  absl::StatusOr<ResizeOutcome> ReachLeast(
      ResizeRun& run, const absl::StatusOr<ResizeOutcome>& hoped,
      const VmSize& least);
  // Returns what is there afterwards: the guest may keep some.
  absl::StatusOr<VmState> RemoveNewDimms(ResizeRun& run, const VmState& before,
                                         const VmState& now);
  // Takes away again what `before` did not have. Gives nothing back that has
  // gone meanwhile: the caller wanted it to go.
  absl::Status PutBack(const VmState& before);
  // The same where virtio-mem was growing already.
  absl::Status PutRequestBack(ResizeRun& run, const VmState& before,
                              VmState now);
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
