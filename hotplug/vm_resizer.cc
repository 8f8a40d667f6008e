#include "hotplug/vm_resizer.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <variant>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "hotplug/device_removal.h"
#include "hotplug/dimm.h"
#include "hotplug/memory_backend.h"
#include "hotplug/observed_state.h"
#include "hotplug/qemu_inventory.h"
#include "nlohmann/json.hpp"

namespace podvisor {
namespace {

using Json = nlohmann::json;

constexpr char kMemoryDeviceId[] = "virtiomem0";
constexpr char kMemoryBackendId[] = "virtiomembackend0";

constexpr char kVmStage[] = "VM";
constexpr char kGuestStage[] = "guest online";
// A guest that gives back nothing for so long has given up for now: a block
// takes a tenth of it under TCG.
constexpr absl::Duration kStandstill = absl::Milliseconds(500);

// With what ran out, where a grow may fail.
constexpr char kVmVcpus[] = "VM: vCPUs";
constexpr char kVmMemory[] = "VM: memory";
constexpr char kGuestVcpus[] = "guest online: vCPUs";
constexpr char kGuestMemory[] = "guest online: memory";

// A grow needs what QEMU rejects; for the caller there is no room.
absl::Status AsNoRoom(const absl::Status& status) {
  if (absl::IsInvalidArgument(status) || absl::IsNotFound(status) ||
      absl::IsUnimplemented(status)) {
    return absl::ResourceExhaustedError(status.message());
  }
  return status;
}

// The guest does not follow: a matter of patience, not of a lost connection.
bool IsReluctance(const absl::Status& status) {
  return absl::IsDeadlineExceeded(status) || absl::IsFailedPrecondition(status);
}

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

int CountPlugged(const std::vector<VcpuSlot>& slots) {
  return static_cast<int>(
      std::count_if(slots.begin(), slots.end(),
                    [](const VcpuSlot& slot) { return slot.plugged; }));
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

// The steps of one Resize(), with its deadline.
class VmResizer::Run {
 public:
  Run(VmResizer* resizer, absl::Time deadline)
      : qmp_(*resizer->qmp_),
        guest_(*resizer->guest_),
        clock_(*resizer->clock_),
        limits_(resizer->limits_),
        options_(resizer->options_),
        deadline_(deadline) {}

  absl::StatusOr<VmState> Observe();
  // The same after steps, whose time may be over: what came of them is to be
  // known all the same. The guest is asked again only where its answer to the
  // last of them is older than a change.
  absl::StatusOr<VmState> ReadBack() {
    return Look(clock_.Now() + options_.command_timeout);
  }
  // The steps that follow are those of a plan from `state`.
  void StartFrom(const VmState& state) {
    guest_boot_bytes_ = state.guest_boot_bytes;
    answer_.reset();
  }
  // What a daemon left that was killed while it added or removed memory.
  absl::Status RemoveLeftovers(const VmState& state);

  absl::Status operator()(const RequestMemory& step);
  absl::Status operator()(const PlugDimm& step);
  absl::Status operator()(const UnplugDimm& step);
  absl::Status operator()(const PlugVcpus& step);
  absl::Status operator()(const OnlineVcpus& step);
  absl::Status operator()(const AwaitMemoryGrown& step);
  absl::Status operator()(const OfflineVcpus& step);
  absl::Status operator()(const ReclaimMemory& step);
  absl::Status operator()(const UnplugVcpus& step);
  absl::Status operator()(const AwaitMemoryShrunk& step);

 private:
  absl::Time CommandDeadline() const {
    return std::min(deadline_, clock_.Now() + options_.command_timeout);
  }
  // What the guest keeps, or is slow with, must not cost the next step its
  // turn.
  absl::Time HalfTheTimeLeft() const {
    const absl::Time now = clock_.Now();
    return now + (deadline_ - now) / 2;
  }
  absl::Status Execute(const char* command, const Json& arguments) {
    return qmp_.Execute(command, arguments.dump(), CommandDeadline()).status();
  }
  absl::StatusOr<VmState> Look(absl::Time deadline);
  absl::StatusOr<GuestSize> Heard(absl::StatusOr<GuestSize> answer) {
    answer_ = answer.ok() ? std::optional(*answer) : std::nullopt;
    return answer;
  }
  absl::StatusOr<HotplugMemory> QueryMemory(absl::Time deadline);
  absl::Status AddMemoryDevice(int64_t requested_bytes);
  absl::Status SetRequestedSize(int64_t bytes) {
    return Execute("qom-set", {{"path", kMemoryDeviceId},
                               {"property", "requested-size"},
                               {"value", bytes}});
  }
  absl::Status AskOnceMore(int64_t plugged, int64_t requested);
  // Until QEMU's own figure is in these bounds as well.
  absl::Status AwaitPlugged(int64_t least_bytes, int64_t most_bytes);

  QmpClient& qmp_;
  GuestResources& guest_;
  Clock& clock_;
  const VmLimits& limits_;
  const VmResizerOptions& options_;
  const absl::Time deadline_;
  int64_t guest_boot_bytes_ = 0;
  // What the guest said after the last change at QEMU.
  std::optional<GuestSize> answer_;
};

absl::StatusOr<VmState> VmResizer::Run::Observe() {
  answer_.reset();
  return Look(CommandDeadline());
}

absl::StatusOr<VmState> VmResizer::Run::Look(absl::Time deadline) {
  const auto slots = QueryVcpuSlots(qmp_, deadline);
  if (!slots.ok()) return Annotate(slots.status(), kVmStage);
  const auto memory = QueryMemory(deadline);
  if (!memory.ok()) return Annotate(memory.status(), kVmStage);
  if (!answer_.has_value()) {
    const auto guest = Heard(guest_.Observe(deadline));
    if (!guest.ok()) return Annotate(guest.status(), kGuestStage);
  }
  return ObservedState(*slots, *memory, *answer_);
}

absl::StatusOr<HotplugMemory> VmResizer::Run::QueryMemory(absl::Time deadline) {
  HotplugMemory memory;
  if (limits_.memory_device == MemoryDevice::kPcDimm) {
    ASSIGN_OR_RETURN(memory.dimms, QueryDimms(qmp_, deadline));
    for (const Dimm& dimm : memory.dimms) memory.plugged_bytes += dimm.bytes;
    memory.requested_bytes = memory.plugged_bytes;
    return memory;
  }
  ASSIGN_OR_RETURN(const auto device,
                   QueryMemoryDevice(qmp_, kMemoryDeviceId, deadline));
  if (device.has_value()) {
    memory.requested_bytes = device->requested_bytes;
    memory.plugged_bytes = device->plugged_bytes;
  }
  return memory;
}

absl::Status VmResizer::Run::RemoveLeftovers(const VmState& state) {
  if (limits_.memory_device == MemoryDevice::kPcDimm) {
    return Annotate(
        RemoveUnusedDimmBackends(qmp_, state.dimms, CommandDeadline()),
        kVmMemory);
  }
  const auto backends = QueryMemoryBackends(qmp_, CommandDeadline());
  if (!backends.ok()) return Annotate(backends.status(), kVmMemory);
  if (!backends->contains(kMemoryBackendId)) return absl::OkStatus();
  const auto device =
      QueryMemoryDevice(qmp_, kMemoryDeviceId, CommandDeadline());
  if (!device.ok()) return Annotate(device.status(), kVmMemory);
  if (device->has_value()) return absl::OkStatus();
  return Annotate(
      RemoveMemoryBackend(qmp_, kMemoryBackendId, CommandDeadline()),
      kVmMemory);
}

// A grow that stands is asked for once more; a shrink may be under way
// (AwaitMemoryShrunk).
absl::Status VmResizer::Run::operator()(const RequestMemory& step) {
  answer_.reset();
  const auto device =
      QueryMemoryDevice(qmp_, kMemoryDeviceId, CommandDeadline());
  if (!device.ok()) return Annotate(device.status(), kVmMemory);
  absl::Status requested;
  if (!device->has_value()) {
    if (step.hotplug_bytes > 0) requested = AddMemoryDevice(step.hotplug_bytes);
  } else if ((*device)->requested_bytes != step.hotplug_bytes) {
    requested = SetRequestedSize(step.hotplug_bytes);
  } else if ((*device)->plugged_bytes < step.hotplug_bytes) {
    requested =
        AskOnceMore((*device)->plugged_bytes, (*device)->requested_bytes);
  }
  return Annotate(AsNoRoom(requested), kVmMemory);
}

// A guest that could not obey at once tries again after 50 s, and then after
// longer still, unless the request changes (VIRTIO_MEM_RETRY_TIMER_MIN_MS in
// Linux, drivers/virtio/virtio_mem.c). One that is at work begins anew.
absl::Status VmResizer::Run::AskOnceMore(int64_t plugged, int64_t requested) {
  RETURN_IF_ERROR(SetRequestedSize(plugged));
  return SetRequestedSize(requested);
}

// The device cannot be part of a VM that is restored from a template, and it
// cannot be removed: it comes when memory first grows, with size 0 it is free.
absl::Status VmResizer::Run::AddMemoryDevice(int64_t requested_bytes) {
  RETURN_IF_ERROR(EnsureMemoryBackend(
      qmp_, kMemoryBackendId, MaxHotplugBytes(limits_), CommandDeadline()));
  Json device = {{"driver", "virtio-mem-pci"},
                 {"id", kMemoryDeviceId},
                 {"memdev", kMemoryBackendId},
                 {"requested-size", requested_bytes}};
  if (!options_.memory_bus.empty()) device["bus"] = options_.memory_bus;
  if (!options_.memory_slot.empty()) device["addr"] = options_.memory_slot;
  const absl::Status added = Execute("device_add", device);
  if (absl::IsInvalidArgument(added) || absl::IsNotFound(added)) {
    // Refused for certain: the backend would only be in the way.
    RemoveMemoryBackend(qmp_, kMemoryBackendId, CommandDeadline())
        .IgnoreError();
  }
  return added;
}

absl::Status VmResizer::Run::operator()(const PlugDimm& step) {
  answer_.reset();
  return Annotate(AsNoRoom(AddDimm(qmp_, step.dimm, CommandDeadline())),
                  kVmMemory);
}

absl::Status VmResizer::Run::operator()(const UnplugDimm& step) {
  answer_.reset();
  return Annotate(RemoveDimm(qmp_, clock_, step.slot, HalfTheTimeLeft()),
                  kVmMemory);
}

absl::Status VmResizer::Run::operator()(const PlugVcpus& step) {
  answer_.reset();
  const auto slots = QueryVcpuSlots(qmp_, CommandDeadline());
  if (!slots.ok()) return Annotate(slots.status(), kVmStage);
  int plugged = CountPlugged(*slots);
  for (size_t i = 0; i < slots->size() && plugged < step.vcpus; ++i) {
    const VcpuSlot& slot = (*slots)[i];
    if (slot.plugged) continue;
    Json device = Json::parse(slot.props_json, nullptr, false);
    device["driver"] = slot.driver;
    device["id"] = absl::StrCat("cpu", i);
    const absl::Status added = Execute("device_add", device);
    if (!added.ok()) return Annotate(AsNoRoom(added), kVmVcpus);
    ++plugged;
  }
  if (plugged >= step.vcpus) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat(
      kVmVcpus, ": QEMU has room for ", plugged, ", not ", step.vcpus));
}

absl::Status VmResizer::Run::operator()(const OnlineVcpus& step) {
  const auto guest = Heard(guest_.SetOnlineCpus(step.vcpus, deadline_));
  if (!guest.ok()) return Annotate(guest.status(), kGuestVcpus);
  if (guest->cpus_online >= step.vcpus) return absl::OkStatus();
  return absl::DeadlineExceededError(
      absl::StrCat(kGuestVcpus, ": the guest uses ", guest->cpus_online,
                   ", not ", step.vcpus));
}

// The guest's word comes later than QEMU's and is the one that counts.
absl::Status VmResizer::Run::operator()(const AwaitMemoryGrown& step) {
  const int64_t total = guest_boot_bytes_ + step.hotplug_bytes;
  if (!answer_.has_value() || answer_->memory_total_bytes < total) {
    const auto after = Heard(guest_.AwaitMemoryAtLeast(total, deadline_));
    if (!after.ok()) return Annotate(after.status(), kGuestMemory);
  }
  return AwaitPlugged(step.hotplug_bytes, MaxHotplugBytes(limits_));
}

absl::Status VmResizer::Run::operator()(const OfflineVcpus& step) {
  const auto guest = Heard(guest_.SetOnlineCpus(step.vcpus, HalfTheTimeLeft()));
  if (!guest.ok()) return Annotate(guest.status(), kGuestStage);
  if (guest->cpus_online <= step.vcpus) return absl::OkStatus();
  return absl::DeadlineExceededError(
      absl::StrCat(kGuestStage, ": the guest still uses ", guest->cpus_online,
                   " vCPUs, not ", step.vcpus));
}

// Only a help: whatever comes of it, the guest is asked for the memory.
absl::Status VmResizer::Run::operator()(const ReclaimMemory& step) {
  Heard(guest_.ReclaimMemory(step.free_bytes, HalfTheTimeLeft())).IgnoreError();
  return absl::OkStatus();
}

// Stops at the first vCPU that the guest keeps: no holes, so that the guest's
// numbers stay those of the slots.
absl::Status VmResizer::Run::operator()(const UnplugVcpus& step) {
  answer_.reset();
  const auto slots = QueryVcpuSlots(qmp_, CommandDeadline());
  if (!slots.ok()) return Annotate(slots.status(), kVmStage);
  int plugged = CountPlugged(*slots);
  const absl::Time deadline = HalfTheTimeLeft();
  for (auto slot = slots->rbegin();
       slot != slots->rend() && plugged > step.vcpus; ++slot) {
    if (!slot->plugged || slot->device_id.empty()) continue;
    const absl::Status removed =
        RemoveVcpu(qmp_, clock_, slot->device_id, deadline);
    if (!removed.ok()) return Annotate(removed, kVmStage);
    --plugged;
  }
  return absl::OkStatus();
}

// A guest that gives back is left alone, however long it takes; one that stands
// still is asked once more.
absl::Status VmResizer::Run::operator()(const AwaitMemoryShrunk& step) {
  const int64_t total = guest_boot_bytes_ + step.hotplug_bytes;
  int64_t plugged = -1;
  bool asked_again = false;
  while (true) {
    const auto memory = QueryMemory(CommandDeadline());
    if (!memory.ok()) return Annotate(memory.status(), kVmStage);
    if (memory->plugged_bytes == plugged && !asked_again) {
      asked_again = true;
      RETURN_IF_ERROR(
          Annotate(AskOnceMore(memory->plugged_bytes, memory->requested_bytes),
                   kVmMemory));
    }
    plugged = memory->plugged_bytes;
    const absl::Time asked = clock_.Now();
    const auto after = Heard(guest_.AwaitMemoryAtMost(
        total, std::min(deadline_, asked + kStandstill)));
    if (after.ok()) return AwaitPlugged(0, step.hotplug_bytes);
    const absl::Time now = clock_.Now();
    // Who gives up at once would do so again.
    if (!IsReluctance(after.status()) || now >= deadline_ || now == asked) {
      return Annotate(after.status(), kGuestMemory);
    }
  }
}

// QEMU sends its size events at most once a second, hence the looking.
absl::Status VmResizer::Run::AwaitPlugged(int64_t least_bytes,
                                          int64_t most_bytes) {
  const auto events = qmp_.Subscribe({"MEMORY_DEVICE_SIZE_CHANGE"});
  while (true) {
    const auto memory = QueryMemory(CommandDeadline());
    if (!memory.ok()) return Annotate(memory.status(), kVmStage);
    const int64_t plugged = memory->plugged_bytes;
    if (plugged >= least_bytes && plugged <= most_bytes) {
      return absl::OkStatus();
    }
    if (clock_.Now() >= deadline_) {
      return absl::DeadlineExceededError(
          absl::StrCat(kVmMemory, ": ", plugged, " bytes are hot-plugged, not ",
                       plugged < least_bytes ? least_bytes : most_bytes));
    }
    const auto event = events->Next(
        std::min(deadline_, clock_.Now() + options_.poll_interval));
    if (!event.ok() && !absl::IsDeadlineExceeded(event.status())) {
      return Annotate(event.status(), kVmStage);
    }
  }
}

VmResizer::VmResizer(QmpClient* qmp, GuestResources* guest, Clock* clock,
                     const VmLimits& limits, VmResizerOptions options)
    : qmp_(qmp),
      guest_(guest),
      clock_(clock),
      limits_(limits),
      options_(std::move(options)) {}

absl::StatusOr<VmState> VmResizer::Observe(absl::Time deadline) {
  return Run(this, deadline).Observe();
}

absl::Status VmResizer::Apply(Run& run, Planner planner, const VmLimits& limits,
                              const VmState& before, const VmSize& target,
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
absl::StatusOr<VmState> VmResizer::RemoveNewDimms(Run& run,
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
  Run run(this, clock_->Now() + options_.rollback_timeout);
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
absl::Status VmResizer::PutRequestBack(Run& run, const VmState& before,
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
  Run run(this, deadline);
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
  Run hopeful(this, target == least ? deadline : now + (deadline - now) / 2);
  absl::StatusOr<ResizeOutcome> grown =
      Reach(hopeful, PlanGrow, before, target);
  if (grown.ok() && grown->missing.ok()) return grown;
  if (target != least) {
    Run run(this, deadline);
    grown = ReachLeast(run, grown, least);
    if (grown.ok()) return grown;
  }
  return Undo(before, grown.ok() ? grown->missing : grown.status());
}

absl::StatusOr<ResizeOutcome> VmResizer::ReachLeast(
    Run& run, const absl::StatusOr<ResizeOutcome>& hoped, const VmSize& least) {
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

absl::StatusOr<ResizeOutcome> VmResizer::Reach(Run& run, Planner planner,
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
