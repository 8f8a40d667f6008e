#include "sandbox/size/resize_metrics.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <variant>

#include "absl/strings/string_view.h"

namespace podvisor {
namespace {

using Change = std::pair<MetricResource, ResizeDirection>;

constexpr Change kCpuGrow = {MetricResource::kCpu, ResizeDirection::kGrow};
constexpr Change kCpuShrink = {MetricResource::kCpu, ResizeDirection::kShrink};
constexpr Change kMemoryGrow = {MetricResource::kMemory,
                                ResizeDirection::kGrow};
constexpr Change kMemoryShrink = {MetricResource::kMemory,
                                  ResizeDirection::kShrink};

// The stages of VmResizer's errors.
constexpr absl::string_view kVm = "vm";
constexpr absl::string_view kGuest = "guest";

struct Part {
  Change change;
  absl::string_view phase;
};

// Which part of an attempt a step is.
struct PartOf {
  const ResizeAttempt& attempt;

  Part operator()(const RequestMemory& step) const {
    const VmState& before = attempt.before;
    // A grow may ask for less than there is: it stops a shrink.
    const bool grows =
        attempt.only_grows ||
        step.hotplug_bytes >
            std::min(before.hotplug_plugged_bytes, before.hotplug_online_bytes);
    return {grows ? kMemoryGrow : kMemoryShrink, kVm};
  }
  Part operator()(const PlugDimm&) const { return {kMemoryGrow, kVm}; }
  Part operator()(const UnplugDimm&) const { return {kMemoryShrink, kVm}; }
  Part operator()(const PlugVcpus&) const { return {kCpuGrow, kVm}; }
  Part operator()(const OnlineVcpus&) const { return {kCpuGrow, kGuest}; }
  Part operator()(const AwaitMemoryGrown&) const {
    return {kMemoryGrow, kGuest};
  }
  Part operator()(const OfflineVcpus&) const { return {kCpuShrink, kGuest}; }
  Part operator()(const ReclaimMemory&) const {
    return {kMemoryShrink, kGuest};
  }
  Part operator()(const UnplugVcpus&) const { return {kCpuShrink, kVm}; }
  Part operator()(const AwaitMemoryShrunk&) const {
    return {kMemoryShrink, kGuest};
  }
};

std::set<Change> ChangesOf(const ResizeAttempt& attempt) {
  std::set<Change> changes;
  const auto plan = (attempt.only_grows ? PlanGrow : PlanResize)(
      attempt.limits, attempt.before, attempt.target);
  if (plan.ok()) {
    for (const ResizeStep& step : plan->steps) {
      changes.insert(std::visit(PartOf{attempt}, step).change);
    }
    return changes;
  }
  // Only what is too large has no plan.
  if (attempt.target.vcpus > attempt.before.vcpus_online) {
    changes.insert(kCpuGrow);
  }
  if (attempt.target.memory_bytes - attempt.limits.boot_memory_bytes >
      attempt.before.hotplug_plugged_bytes) {
    changes.insert(kMemoryGrow);
  }
  return changes;
}

// Whether the guest has not taken all of it.
bool IsMissing(const Change& change, const ResizeAttempt& attempt) {
  if (attempt.outcome->missing.ok()) return false;
  const VmState& has = attempt.outcome->observed;
  return (change == kCpuGrow && has.vcpus_online < attempt.target.vcpus) ||
         (change == kMemoryGrow &&
          has.hotplug_online_bytes <
              attempt.target.memory_bytes - attempt.limits.boot_memory_bytes);
}

absl::string_view ResultOf(const Change& change, const ResizeAttempt& attempt) {
  const absl::StatusOr<ResizeOutcome>& outcome = attempt.outcome;
  if (!outcome.ok()) return "failed";
  const bool kept = (change == kCpuShrink && outcome->shortfall_vcpus > 0) ||
                    (change == kMemoryShrink && outcome->shortfall_bytes > 0);
  return kept || IsMissing(change, attempt) ? "partial" : "ok";
}

}  // namespace

void RecordResize(const PodId& pod, const ResizeAttempt& attempt,
                  PodMetrics& metrics) {
  const std::set<Change> changes = ChangesOf(attempt);
  for (const Change& change : changes) {
    metrics.CountResize(pod, change.first, change.second,
                        ResultOf(change, attempt));
  }
  if (!attempt.outcome.ok()) return;
  std::map<std::pair<Change, absl::string_view>, absl::Duration> phases;
  for (const Change& change : changes) {
    phases[{change, "total"}] = attempt.took;
  }
  for (const StepTiming& timing : attempt.outcome->timings) {
    const Part part = std::visit(PartOf{attempt}, timing.step);
    phases[{part.change, part.phase}] += timing.duration;
  }
  for (const auto& [key, took] : phases) {
    const auto& [change, phase] = key;
    metrics.ObserveResize(change.first, change.second, phase, took);
  }
}

}  // namespace podvisor
