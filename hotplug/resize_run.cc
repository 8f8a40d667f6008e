#include "hotplug/resize_run.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "hotplug/device_removal.h"
#include "hotplug/dimm.h"
#include "hotplug/memory_backend.h"
#include "hotplug/qemu_inventory.h"
#include "nlohmann/json.hpp"

namespace podvisor {
namespace {

using Json = nlohmann::json;

constexpr char kMemoryDeviceId[] = "virtiomem0";
constexpr char kMemoryBackendId[] = "virtiomembackend0";

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

int CountPlugged(const std::vector<VcpuSlot>& slots) {
  return static_cast<int>(
      std::count_if(slots.begin(), slots.end(),
                    [](const VcpuSlot& slot) { return slot.plugged; }));
}

}  // namespace

bool IsReluctance(const absl::Status& status) {
  return absl::IsDeadlineExceeded(status) || absl::IsFailedPrecondition(status);
}

absl::Status ResizeRun::Execute(const char* command, const Json& arguments) {
  return qmp_.Execute(command, arguments.dump(), CommandDeadline()).status();
}

absl::Status ResizeRun::SetRequestedSize(int64_t bytes) {
  return Execute("qom-set", {{"path", kMemoryDeviceId},
                             {"property", "requested-size"},
                             {"value", bytes}});
}

absl::StatusOr<VmState> ResizeRun::Observe() {
  answer_.reset();
  return Look(CommandDeadline());
}

absl::StatusOr<VmState> ResizeRun::Look(absl::Time deadline) {
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

absl::StatusOr<HotplugMemory> ResizeRun::QueryMemory(absl::Time deadline) {
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

absl::Status ResizeRun::RemoveLeftovers(const VmState& state) {
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
absl::Status ResizeRun::operator()(const RequestMemory& step) {
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
absl::Status ResizeRun::AskOnceMore(int64_t plugged, int64_t requested) {
  RETURN_IF_ERROR(SetRequestedSize(plugged));
  return SetRequestedSize(requested);
}

// The device cannot be part of a VM that is restored from a template, and it
// cannot be removed: it comes when memory first grows, with size 0 it is free.
absl::Status ResizeRun::AddMemoryDevice(int64_t requested_bytes) {
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

absl::Status ResizeRun::operator()(const PlugDimm& step) {
  answer_.reset();
  return Annotate(AsNoRoom(AddDimm(qmp_, step.dimm, CommandDeadline())),
                  kVmMemory);
}

absl::Status ResizeRun::operator()(const UnplugDimm& step) {
  answer_.reset();
  return Annotate(RemoveDimm(qmp_, clock_, step.slot, HalfTheTimeLeft()),
                  kVmMemory);
}

absl::Status ResizeRun::operator()(const PlugVcpus& step) {
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

absl::Status ResizeRun::operator()(const OnlineVcpus& step) {
  const auto guest = Heard(guest_.SetOnlineCpus(step.vcpus, deadline_));
  if (!guest.ok()) return Annotate(guest.status(), kGuestVcpus);
  if (guest->cpus_online >= step.vcpus) return absl::OkStatus();
  return absl::DeadlineExceededError(
      absl::StrCat(kGuestVcpus, ": the guest uses ", guest->cpus_online,
                   ", not ", step.vcpus));
}

// The guest's word comes later than QEMU's and is the one that counts.
absl::Status ResizeRun::operator()(const AwaitMemoryGrown& step) {
  const int64_t total = guest_boot_bytes_ + step.hotplug_bytes;
  if (!answer_.has_value() || answer_->memory_total_bytes < total) {
    const auto after = Heard(guest_.AwaitMemoryAtLeast(total, deadline_));
    if (!after.ok()) return Annotate(after.status(), kGuestMemory);
  }
  return AwaitPlugged(step.hotplug_bytes, MaxHotplugBytes(limits_));
}

absl::Status ResizeRun::operator()(const OfflineVcpus& step) {
  const auto guest = Heard(guest_.SetOnlineCpus(step.vcpus, HalfTheTimeLeft()));
  if (!guest.ok()) return Annotate(guest.status(), kGuestStage);
  if (guest->cpus_online <= step.vcpus) return absl::OkStatus();
  return absl::DeadlineExceededError(
      absl::StrCat(kGuestStage, ": the guest still uses ", guest->cpus_online,
                   " vCPUs, not ", step.vcpus));
}

// Only a help: whatever comes of it, the guest is asked for the memory.
absl::Status ResizeRun::operator()(const ReclaimMemory& step) {
  Heard(guest_.ReclaimMemory(step.free_bytes, HalfTheTimeLeft())).IgnoreError();
  return absl::OkStatus();
}

// Stops at the first vCPU that the guest keeps: no holes, so that the guest's
// numbers stay those of the slots.
absl::Status ResizeRun::operator()(const UnplugVcpus& step) {
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
absl::Status ResizeRun::operator()(const AwaitMemoryShrunk& step) {
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
absl::Status ResizeRun::AwaitPlugged(int64_t least_bytes, int64_t most_bytes) {
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

}  // namespace podvisor
