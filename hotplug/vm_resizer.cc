#include "hotplug/vm_resizer.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "hotplug/dimm.h"

namespace podvisor {
namespace {

bool IsShrinkStep(const ResizeStep& step, const VmState& before) {
  if (const auto* request = std::get_if<RequestMemory>(&step)) {
    return request->hotplug_bytes < before.hotplug_plugged_bytes;
  }
  return std::holds_alternative<OfflineVcpus>(step) ||
         std::holds_alternative<UnplugVcpus>(step) ||
         std::holds_alternative<ReclaimMemory>(step) ||
         std::holds_alternative<UnplugDimm>(step) ||
         std::holds_alternative<AwaitMemoryShrunk>(step);
}

// Whether anything is still smaller than asked for.
bool IsTooSmall(const VmState& state, const VmSize& target,
                const VmLimits& limits) {
  return state.vcpus_online < target.vcpus ||
         state.hotplug_online_bytes <
             target.memory_bytes - limits.boot_memory_bytes;
}

// Whether memory was on its way, of an earlier request.
bool WasGrowing(const VmState& before) {
  return std::min(before.hotplug_plugged_bytes, before.hotplug_online_bytes) <
         before.hotplug_requested_bytes;
}

// vCPUs that a shrink did not get: in use, or only plugged where devices are
// to be removed.
int VcpuShortfall(const VmState& state, const VmSize& target,
                  const VmLimits& limits) {
  const int in_use = state.vcpus_online - target.vcpus;
  const int fixed = state.vcpus_plugged - state.vcpus_removable;
  const int plugged = limits.vcpu_unplug == VcpuUnplug::kDevice
                          ? state.vcpus_plugged - std::max(target.vcpus, fixed)
                          : 0;
  return std::max({0, in_use, plugged});
}

}  // namespace

VmResizer::VmResizer(QmpClient* qmp, GuestResources* guest, Clock* clock,
                     const VmLimits& limits, VmResizerOptions options)
    : qmp_(qmp),
      guest_(guest),
      clock_(clock),
      limits_(limits),
      options_(std::move(options)) {}

absl::StatusOr<VmState> VmResizer::Observe(absl::Time deadline) {
  return RunUntil(deadline).Observe();
}

absl::Status VmResizer::Apply(ResizeRun& run, Planner planner,
                              const VmLimits& limits, const VmState& before,
                              const VmSize& target,
                              std::vector<StepTiming>& timings) {
  const auto plan = planner(limits, before, target);
  if (!plan.ok()) return Annotate(plan.status(), kVmStage);
  run.StartFrom(before);
  bool vcpus_kept = false;
  for (const ResizeStep& step : plan->steps) {
    const bool offlines = std::holds_alternative<OfflineVcpus>(step);
    // Pulling a vCPU that the guest still uses would be rude, and in vain.
    if (vcpus_kept && std::holds_alternative<UnplugVcpus>(step)) continue;
    const absl::Time begin = clock_->Now();
    const absl::Status done = std::visit(run, step);
    timings.push_back({.step = step, .duration = clock_->Now() - begin});
    if (done.ok()) continue;
    if (planner == PlanGrow || !IsShrinkStep(step, before) ||
        !IsReluctance(done)) {
      return done;
    }
    vcpus_kept = vcpus_kept || offlines;
  }
  return absl::OkStatus();
}

// Also where DIMMs otherwise stay: nobody uses these yet.
absl::StatusOr<VmState> VmResizer::RemoveNewDimms(ResizeRun& run,
                                                  const VmState& before,
                                                  const VmState& now) {
  for (const Dimm& dimm : now.dimms) {
    if (absl::c_linear_search(before.dimms, dimm)) continue;
    const absl::Status removed = run(UnplugDimm{dimm.slot});
    if (!removed.ok() && !IsReluctance(removed)) return removed;
  }
  return run.Observe();
}

absl::Status VmResizer::PutBack(const VmState& before) {
  ResizeRun run = RunUntil(clock_->Now() + options_.rollback_timeout);
  auto now = run.Observe();
  if (!now.ok()) {
    // Without the guest there is no plan, but it need not take more memory.
    if (limits_.memory_device == MemoryDevice::kVirtioMem) {
      (void)run(RequestMemory{before.hotplug_requested_bytes});
    }
    return now.status();
  }
  VmLimits limits = limits_;
  if (limits_.memory_device == MemoryDevice::kPcDimm) {
    ASSIGN_OR_RETURN(now, RemoveNewDimms(run, before, *now));
    // The plan is for the vCPUs: a DIMM that was in use looks to it no
    // different from a new one that would not go.
    limits.dimm_unplug = false;
  }
  if (limits_.memory_device == MemoryDevice::kVirtioMem && WasGrowing(before)) {
    return PutRequestBack(run, before, *now);
  }
  const int64_t block = limits_.memory_block_bytes;
  const int64_t kept =
      std::min(before.hotplug_plugged_bytes, now->hotplug_plugged_bytes);
  const int64_t had =
      std::min(MaxHotplugBytes(limits_), (kept + block - 1) / block * block);
  const int64_t hotplug =
      limits_.memory_device == MemoryDevice::kPcDimm
          ? std::min(now->hotplug_plugged_bytes, now->hotplug_online_bytes) /
                block * block
          : had;
  const VmSize size = {
      .vcpus = std::clamp(std::min(before.vcpus_online, now->vcpus_online),
                          limits_.boot_vcpus, limits_.max_vcpus),
      .memory_bytes = limits_.boot_memory_bytes + hotplug};
  std::vector<StepTiming> timings;
  RETURN_IF_ERROR(Apply(run, PlanResize, limits, *now, size, timings));
  ASSIGN_OR_RETURN(const VmState after, run.Observe());
  const int64_t left = after.hotplug_plugged_bytes - had;
  const int vcpus_left = after.vcpus_online - size.vcpus;
  if (left <= 0 && vcpus_left <= 0) return absl::OkStatus();
  return absl::DeadlineExceededError(absl::StrCat(
      "the guest keeps ", left, " bytes and ", vcpus_left, " vCPUs"));
}

// What was under way goes on, and is for those to wait for who asked for it.
absl::Status VmResizer::PutRequestBack(ResizeRun& run, const VmState& before,
                                       VmState now) {
  RETURN_IF_ERROR(run(RequestMemory{before.hotplug_requested_bytes}));
  const VmSize size = {
      .vcpus = std::clamp(std::min(before.vcpus_online, now.vcpus_online),
                          limits_.boot_vcpus, limits_.max_vcpus),
      .memory_bytes = limits_.boot_memory_bytes};
  // The plan is for the vCPUs only.
  now.hotplug_requested_bytes = 0;
  now.hotplug_plugged_bytes = 0;
  now.hotplug_online_bytes = 0;
  std::vector<StepTiming> timings;
  return Apply(run, PlanResize, limits_, now, size, timings);
}

absl::Status VmResizer::Undo(const VmState& before, const absl::Status& cause) {
  const absl::Status undone = PutBack(before);
  return absl::Status(
      cause.code(),
      undone.ok()
          ? absl::StrCat(cause.message(), " (what was added was put back)")
          : absl::StrCat(cause.message(), " (and could not be put back: ",
                         undone.message(), ")"));
}

absl::StatusOr<ResizeOutcome> VmResizer::Resize(const VmSize& target,
                                                absl::Time deadline) {
  ASSIGN_OR_RETURN(const VmState before, Observe(deadline));
  return Resize(before, target, deadline);
}

absl::StatusOr<ResizeOutcome> VmResizer::Resize(const VmState& before,
                                                const VmSize& target,
                                                absl::Time deadline) {
  ResizeRun run = RunUntil(deadline);
  // Also where nothing else is to be done: this is the last chance.
  RETURN_IF_ERROR(run.RemoveLeftovers(before));
  ASSIGN_OR_RETURN(ResizeOutcome outcome,
                   Reach(run, PlanResize, before, target));
  outcome.shortfall_bytes = MemoryShortfall(limits_, outcome.observed, target);
  outcome.shortfall_vcpus = VcpuShortfall(outcome.observed, target, limits_);
  return outcome;
}

absl::StatusOr<ResizeOutcome> VmResizer::Grow(const VmState& before,
                                              const VmSize& target,
                                              const VmSize& least,
                                              absl::Time deadline) {
  const absl::Time now = clock_->Now();
  ResizeRun hopeful =
      RunUntil(target == least ? deadline : now + (deadline - now) / 2);
  absl::StatusOr<ResizeOutcome> grown =
      Reach(hopeful, PlanGrow, before, target);
  if (grown.ok() && grown->missing.ok()) return grown;
  if (target != least) {
    ResizeRun run = RunUntil(deadline);
    grown = ReachLeast(run, grown, least);
    if (grown.ok()) return grown;
  }
  return Undo(before, grown.ok() ? grown->missing : grown.status());
}

absl::StatusOr<ResizeOutcome> VmResizer::ReachLeast(
    ResizeRun& run, const absl::StatusOr<ResizeOutcome>& hoped,
    const VmSize& least) {
  ASSIGN_OR_RETURN(const VmState now, run.Observe());
  ASSIGN_OR_RETURN(ResizeOutcome outcome, Reach(run, PlanGrow, now, least));
  RETURN_IF_ERROR(outcome.missing);
  if (!hoped.ok()) {
    outcome.missing = hoped.status();
    return outcome;
  }
  outcome.missing = hoped->missing;
  outcome.timings.insert(outcome.timings.begin(), hoped->timings.begin(),
                         hoped->timings.end());
  return outcome;
}

absl::StatusOr<ResizeOutcome> VmResizer::Reach(ResizeRun& run, Planner planner,
                                               const VmState& before,
                                               const VmSize& target) {
  // Refused before anything is touched.
  const auto plan = planner(limits_, before, target);
  if (!plan.ok()) return Annotate(plan.status(), kVmStage);
  ResizeOutcome outcome;
  outcome.observed = before;
  if (plan->empty()) return outcome;
  // The second time only for a guest whose numbers of vCPUs are not those of
  // the slots: removing a device may have taken a vCPU that it used.
  bool too_small = true;
  for (int round = 0; round < 2 && too_small && outcome.missing.ok(); ++round) {
    outcome.missing =
        Apply(run, planner, limits_, outcome.observed, target, outcome.timings);
    if (!outcome.missing.ok() && !IsReluctance(outcome.missing)) {
      return outcome.missing;
    }
    const auto observed = run.ReadBack();
    if (!observed.ok()) {
      return outcome.missing.ok() ? observed.status() : outcome.missing;
    }
    outcome.observed = *observed;
    too_small = IsTooSmall(outcome.observed, target, limits_);
  }
  if (!too_small) {
    outcome.missing = absl::OkStatus();
  } else if (outcome.missing.ok()) {
    outcome.missing = absl::DeadlineExceededError(absl::StrCat(
        kGuestStage, ": the guest does not keep what it was given"));
  }
  return outcome;
}

}  // namespace podvisor
