#include "sandbox/pod_sizer.h"

#include "absl/strings/str_cat.h"
#include "base/clean_text.h"
#include "base/status_macros.h"
#include "sandbox/pci_layout.h"
#include "sandbox/resize_metrics.h"

namespace podvisor {
namespace {

// For reading back after a failure, whose own deadline is usually over.
constexpr absl::Duration kReadBackTimeout = absl::Seconds(2);

VmResizerOptions OptionsForBridge() {
  VmResizerOptions options;
  options.memory_bus = kMemorySlot.Bus();
  options.memory_slot = kMemorySlot.Addr();
  return options;
}

std::string ErrorText(const absl::Status& status) {
  return status.ok() ? "" : CleanText(status.message(), 1024);
}

}  // namespace

PodSizer::PodSizer(const PodId& pod, QmpClient* qmp, GuestResources* guest,
                   Clock* clock, PodMetrics* metrics, const VmLimits& limits)
    : pod_(pod),
      clock_(clock),
      metrics_(metrics),
      limits_(limits),
      resizer_(qmp, guest, clock, limits, OptionsForBridge()) {}

absl::Status PodSizer::Grow(const VmTarget& target, absl::Time deadline) {
  const absl::Status grown = Resize(target.size, /*keep_more=*/true, deadline);
  absl::MutexLock lock(&mutex_);
  grow_error_ = ErrorText(grown);
  return grown;
}

absl::Status PodSizer::Settle(const VmTarget& target, absl::Time deadline) {
  const absl::Status settled =
      Resize(target.size, /*keep_more=*/false, deadline);
  absl::MutexLock lock(&mutex_);
  settle_error_ = ErrorText(settled);
  RETURN_IF_ERROR(settled);
  const int64_t bytes = MemoryShortfall(limits_, state_, target.size);
  const int vcpus = state_.vcpus_online - target.size.vcpus;
  if (bytes <= 0 && vcpus <= 0) return absl::OkStatus();
  return absl::UnavailableError(
      absl::StrCat("the guest keeps ", bytes, " bytes and ", vcpus, " vCPUs"));
}

absl::Status PodSizer::Observe(absl::Time deadline) {
  return Look(deadline).status();
}

VmState PodSizer::observed() const {
  absl::MutexLock lock(&mutex_);
  return state_;
}

VmSizes PodSizer::sizes() const {
  VmSizes sizes;
  sizes.base_vcpus = limits_.boot_vcpus;
  sizes.max_vcpus = limits_.max_vcpus;
  sizes.base_memory_bytes = limits_.boot_memory_bytes;
  sizes.max_memory_bytes = limits_.max_memory_bytes;
  sizes.memory_slots_total = limits_.memory_slots;
  absl::MutexLock lock(&mutex_);
  sizes.observed_at = observed_at_;
  sizes.plugged_vcpus = state_.vcpus_plugged;
  sizes.online_vcpus = state_.vcpus_online;
  sizes.memory_slots_used = static_cast<int>(state_.dimms.size());
  sizes.plugged_memory_bytes =
      limits_.boot_memory_bytes + state_.hotplug_plugged_bytes;
  sizes.online_memory_bytes =
      limits_.boot_memory_bytes + state_.hotplug_online_bytes;
  if (asked_.has_value()) {
    sizes.shortfall_bytes = MemoryShortfall(limits_, state_, *asked_);
  }
  return sizes;
}

std::string PodSizer::last_error() const {
  absl::MutexLock lock(&mutex_);
  return grow_error_.empty() ? settle_error_ : grow_error_;
}

absl::StatusOr<VmState> PodSizer::Look(absl::Time deadline) {
  uint64_t observation = 0;
  {
    absl::MutexLock lock(&mutex_);
    observation = ++observations_;
  }
  ASSIGN_OR_RETURN(const VmState state, resizer_.Observe(deadline));
  absl::MutexLock lock(&mutex_);
  Publish(observation, state);
  return state;
}

absl::Status PodSizer::Resize(const VmSize& target, bool keep_more,
                              absl::Time deadline) {
  ResizeAttempt attempt = {.limits = limits_, .target = target};
  const absl::StatusOr<VmState> before = Look(deadline);
  if (!before.ok()) {
    attempt.before = observed();
    attempt.outcome = before.status();
    RecordResize(pod_, attempt, *metrics_);
    return before.status();
  }
  attempt.before = *before;
  if (keep_more) attempt.target = AtLeast(limits_, *before, target);
  {
    absl::MutexLock lock(&mutex_);
    asked_ = attempt.target;
  }
  const absl::Time begin = clock_->Now();
  attempt.outcome = resizer_.Resize(attempt.target, deadline);
  attempt.took = clock_->Now() - begin;
  RecordResize(pod_, attempt, *metrics_);
  if (!attempt.outcome.ok()) {
    // Whether it could be put back, and how far it came, only the VM knows.
    (void)Look(clock_->Now() + kReadBackTimeout);
    return attempt.outcome.status();
  }
  absl::MutexLock lock(&mutex_);
  Publish(++observations_, attempt.outcome->observed);
  return absl::OkStatus();
}

void PodSizer::Publish(uint64_t observation, const VmState& state) {
  if (observation < published_) return;
  published_ = observation;
  state_ = state;
  observed_at_ = clock_->Now();
}

}  // namespace podvisor
