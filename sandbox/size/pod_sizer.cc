#include "sandbox/size/pod_sizer.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/clean_text.h"
#include "base/status_macros.h"
#include "sandbox/vm/pci_layout.h"

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

// A size that VmResizer can be asked for: what a guest holds on to may end
// within a block.
VmSize WholeBlocks(const VmLimits& limits, const VmSize& size) {
  const int64_t block = limits.memory_block_bytes;
  const int64_t blocks =
      (size.memory_bytes - limits.boot_memory_bytes + block - 1) / block;
  return {size.vcpus, limits.boot_memory_bytes + blocks * block};
}

// The target, and what the VM has above it.
VmSize Above(const VmLimits& limits, const ResizeAttempt& attempt) {
  return WholeBlocks(limits, AtLeast(limits, attempt.before, attempt.target));
}

// The target, as far as the VM has it or was asked to take it.
VmSize NoMoreThanNow(const VmLimits& limits, const ResizeAttempt& attempt) {
  const VmState& now = attempt.before;
  const VmSize has = WholeBlocks(
      limits, {std::max(now.vcpus_online, limits.boot_vcpus),
               limits.boot_memory_bytes + std::max(now.hotplug_requested_bytes,
                                                   now.hotplug_plugged_bytes)});
  return {std::min(attempt.target.vcpus, has.vcpus),
          std::min(attempt.target.memory_bytes, has.memory_bytes)};
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

absl::Status PodSizer::Grow(const VmTarget& target, const VmTarget& least,
                            absl::Time deadline) {
  ResizeAttempt attempt = {.limits = limits_, .target = target.size};
  attempt.only_grows = true;
  if (Begin(attempt, deadline)) {
    // What the VM has above the target stays, and is not asked back.
    SetAsked(Above(limits_, attempt));
    const absl::Duration begin = clock_->Elapsed();
    attempt.outcome =
        resizer_.Grow(attempt.before, attempt.target, least.size, deadline);
    attempt.took = clock_->Elapsed() - begin;
    SeeWhatCameOfIt(attempt);
  }
  RecordResize(pod_, attempt, *metrics_);
  absl::MutexLock lock(&mutex_);
  grow_error_ = ErrorText(attempt.outcome.status());
  return attempt.outcome.status();
}

absl::Status PodSizer::Settle(const VmTarget& target, const VmSize& held,
                              bool may_grow, absl::Time deadline) {
  ResizeAttempt attempt = {.limits = limits_, .target = target.size};
  if (Begin(attempt, deadline)) {
    if (!may_grow) attempt.target = NoMoreThanNow(limits_, attempt);
    // What the VM has above the target stays as far as it is held.
    const VmSize kept = Above(limits_, attempt);
    attempt.target = {std::min(kept.vcpus, held.vcpus),
                      std::min(kept.memory_bytes, held.memory_bytes)};
    SetAsked(attempt.target);
    const absl::Duration begin = clock_->Elapsed();
    attempt.outcome = resizer_.Resize(attempt.before, attempt.target, deadline);
    attempt.took = clock_->Elapsed() - begin;
    SeeWhatCameOfIt(attempt);
  }
  RecordResize(pod_, attempt, *metrics_);
  const absl::StatusOr<ResizeOutcome>& settled = attempt.outcome;
  {
    absl::MutexLock lock(&mutex_);
    settle_error_ =
        ErrorText(settled.ok() ? settled->missing : settled.status());
  }
  RETURN_IF_ERROR(settled.status());
  if (!settled->missing.ok()) {
    return absl::UnavailableError(settled->missing.message());
  }
  if (settled->shortfall_bytes == 0 && settled->shortfall_vcpus == 0) {
    return absl::OkStatus();
  }
  return absl::UnavailableError(
      absl::StrCat("the guest keeps ", settled->shortfall_bytes, " bytes and ",
                   settled->shortfall_vcpus, " vCPUs"));
}

absl::StatusOr<bool> PodSizer::Has(const VmSize& size, absl::Time deadline) {
  ASSIGN_OR_RETURN(const VmState now, Look(deadline));
  return now.vcpus_online >= size.vcpus &&
         now.hotplug_online_bytes >=
             size.memory_bytes - limits_.boot_memory_bytes;
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

bool PodSizer::Begin(ResizeAttempt& attempt, absl::Time deadline) {
  const absl::StatusOr<VmState> before = Look(deadline);
  attempt.before = before.ok() ? *before : observed();
  if (!before.ok()) attempt.outcome = before.status();
  return before.ok();
}

void PodSizer::SetAsked(const VmSize& size) {
  absl::MutexLock lock(&mutex_);
  asked_ = size;
}

void PodSizer::SeeWhatCameOfIt(const ResizeAttempt& attempt) {
  if (!attempt.outcome.ok()) {
    // Whether it could be put back, and how far it came, only the VM knows.
    (void)Look(clock_->Now() + kReadBackTimeout);
    return;
  }
  // Without a step it is what was seen before, and younger looks may be known.
  if (attempt.outcome->timings.empty()) return;
  absl::MutexLock lock(&mutex_);
  Publish(++observations_, attempt.outcome->observed);
}

void PodSizer::Publish(uint64_t observation, const VmState& state) {
  if (observation < published_) return;
  published_ = observation;
  state_ = state;
  observed_at_ = clock_->Now();
}

}  // namespace podvisor
