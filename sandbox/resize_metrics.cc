#include "sandbox/resize_metrics.h"

#include <optional>
#include <variant>

#include "absl/strings/string_view.h"

namespace podvisor {
namespace {

struct Phase {
  MetricResource resource;
  absl::string_view name;
};

struct PhaseOf {
  Phase operator()(const RequestMemory&) const {
    return {MetricResource::kMemory, "request"};
  }
  Phase operator()(const PlugDimm&) const {
    return {MetricResource::kMemory, "plug"};
  }
  Phase operator()(const UnplugDimm&) const {
    return {MetricResource::kMemory, "unplug"};
  }
  Phase operator()(const PlugVcpus&) const {
    return {MetricResource::kCpu, "plug"};
  }
  Phase operator()(const OnlineVcpus&) const {
    return {MetricResource::kCpu, "online"};
  }
  Phase operator()(const AwaitMemoryGrown&) const {
    return {MetricResource::kMemory, "online"};
  }
  Phase operator()(const OfflineVcpus&) const {
    return {MetricResource::kCpu, "offline"};
  }
  Phase operator()(const UnplugVcpus&) const {
    return {MetricResource::kCpu, "unplug"};
  }
  Phase operator()(const AwaitMemoryShrunk&) const {
    return {MetricResource::kMemory, "offline"};
  }
};

std::optional<ResizeDirection> Direction(int64_t before, int64_t target) {
  if (before == target) return std::nullopt;
  return before < target ? ResizeDirection::kGrow : ResizeDirection::kShrink;
}

absl::string_view Result(const absl::StatusOr<ResizeOutcome>& outcome,
                         int64_t shortfall) {
  if (!outcome.ok()) return "failed";
  return shortfall > 0 ? "partial" : "ok";
}

}  // namespace

void RecordResize(const PodId& pod, const VmSize& before, const VmSize& target,
                  const absl::StatusOr<ResizeOutcome>& outcome,
                  PodMetrics& metrics) {
  const std::optional<ResizeDirection> cpu =
      Direction(before.vcpus, target.vcpus);
  const std::optional<ResizeDirection> memory =
      Direction(before.memory_bytes, target.memory_bytes);
  if (cpu.has_value()) {
    metrics.CountResize(
        pod, MetricResource::kCpu, *cpu,
        Result(outcome, outcome.ok() ? outcome->shortfall_vcpus : 0));
  }
  if (memory.has_value()) {
    metrics.CountResize(
        pod, MetricResource::kMemory, *memory,
        Result(outcome, outcome.ok() ? outcome->shortfall_bytes : 0));
  }
  if (!outcome.ok()) return;
  for (const StepTiming& timing : outcome->timings) {
    const Phase phase = std::visit(PhaseOf(), timing.step);
    const auto& direction =
        phase.resource == MetricResource::kCpu ? cpu : memory;
    if (direction.has_value()) {
      metrics.ObserveResize(phase.resource, *direction, phase.name,
                            timing.duration);
    }
  }
}

}  // namespace podvisor
