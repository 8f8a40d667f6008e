#include "sandbox/pod_sizer.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/clean_text.h"
#include "base/status_macros.h"
#include "sandbox/pci_layout.h"
#include "sandbox/resize_metrics.h"

namespace podvisor {
namespace {

VmResizerOptions OptionsForBridge() {
  VmResizerOptions options;
  options.memory_bus = kMemorySlot.Bus();
  options.memory_slot = kMemorySlot.Addr();
  return options;
}

}  // namespace

PodSizer::PodSizer(const PodId& pod, Vm* vm, Clock* clock, PodMetrics* metrics,
                   const VmLimits& limits)
    : pod_(pod),
      metrics_(metrics),
      limits_(limits),
      resizer_(&vm->qmp(), &vm->agent(), clock, limits, OptionsForBridge()) {
  absl::MutexLock lock(&mutex_);
  sizes_.base_vcpus = limits.boot_vcpus;
  sizes_.max_vcpus = limits.max_vcpus;
  sizes_.base_memory_bytes = limits.boot_memory_bytes;
  sizes_.max_memory_bytes = limits.max_memory_bytes;
  sizes_.target_vcpus = limits.boot_vcpus;
  sizes_.target_memory_bytes = limits.boot_memory_bytes;
  sizes_.memory_slots_total = limits.memory_slots;
}

absl::Status PodSizer::Grow(const VmTarget& target, absl::Time deadline) {
  ASSIGN_OR_RETURN(const VmState now, resizer_.Observe(deadline));
  VmTarget at_least = target;
  at_least.size.vcpus = std::max(target.size.vcpus, now.vcpus_online);
  at_least.size.memory_bytes =
      std::max(target.size.memory_bytes,
               limits_.boot_memory_bytes + now.hotplug_requested_bytes);
  return Resize(at_least, deadline);
}

absl::Status PodSizer::Settle(const VmTarget& target, absl::Time deadline) {
  RETURN_IF_ERROR(Resize(target, deadline));
  absl::MutexLock lock(&mutex_);
  if (sizes_.shortfall_bytes > 0 || sizes_.online_vcpus > sizes_.target_vcpus) {
    return absl::UnavailableError(
        absl::StrCat("the guest keeps ", sizes_.shortfall_bytes, " bytes and ",
                     sizes_.online_vcpus - sizes_.target_vcpus, " vCPUs"));
  }
  return absl::OkStatus();
}

absl::Status PodSizer::Observe(absl::Time deadline) {
  ASSIGN_OR_RETURN(const VmState state, resizer_.Observe(deadline));
  absl::MutexLock lock(&mutex_);
  Publish(state);
  return absl::OkStatus();
}

VmSizes PodSizer::sizes() const {
  absl::MutexLock lock(&mutex_);
  return sizes_;
}

std::string PodSizer::last_error() const {
  absl::MutexLock lock(&mutex_);
  return last_error_;
}

absl::Status PodSizer::Resize(const VmTarget& target, absl::Time deadline) {
  VmSize before;
  {
    absl::MutexLock lock(&mutex_);
    before = {sizes_.online_vcpus, sizes_.plugged_memory_bytes};
    sizes_.target_vcpus = target.size.vcpus;
    sizes_.target_memory_bytes = target.size.memory_bytes;
    sizes_.vcpus_clamped = target.vcpus_clamped;
    sizes_.memory_clamped = target.memory_clamped;
  }
  const absl::StatusOr<ResizeOutcome> outcome =
      resizer_.Resize(target.size, deadline);
  RecordResize(pod_, before, target.size, outcome, *metrics_);
  absl::MutexLock lock(&mutex_);
  last_error_ = outcome.ok() ? "" : CleanText(outcome.status().message(), 1024);
  if (!outcome.ok()) return outcome.status();
  Publish(outcome->observed);
  sizes_.shortfall_bytes = outcome->shortfall_bytes;
  return absl::OkStatus();
}

void PodSizer::Publish(const VmState& state) {
  sizes_.plugged_vcpus = state.vcpus_plugged;
  sizes_.online_vcpus = state.vcpus_online;
  sizes_.memory_slots_used = static_cast<int>(state.dimms.size());
  sizes_.plugged_memory_bytes =
      limits_.boot_memory_bytes + state.hotplug_plugged_bytes;
  sizes_.online_memory_bytes =
      limits_.boot_memory_bytes + state.hotplug_online_bytes;
}

}  // namespace podvisor
