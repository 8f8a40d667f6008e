#include "sandbox/vm/pci_layout.h"

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace podvisor {
namespace {

constexpr char kDiskPrefix[] = "disk-";

struct DiskPlace {
  std::string serial;
  PciSlot slot;
};

// "disk-<serial>-<bridge>-<slot>"; a serial may hold dashes, so from the end.
std::optional<DiskPlace> ParseDiskId(absl::string_view id) {
  if (!absl::ConsumePrefix(&id, kDiskPrefix)) return std::nullopt;
  DiskPlace place;
  const size_t slot_at = id.rfind('-');
  if (slot_at == absl::string_view::npos ||
      !absl::SimpleAtoi(id.substr(slot_at + 1), &place.slot.slot)) {
    return std::nullopt;
  }
  id = id.substr(0, slot_at);
  const size_t bridge_at = id.rfind('-');
  if (bridge_at == absl::string_view::npos ||
      !absl::SimpleAtoi(id.substr(bridge_at + 1), &place.slot.bridge)) {
    return std::nullopt;
  }
  place.serial = std::string(id.substr(0, bridge_at));
  return place;
}

bool IsReserved(const PciSlot& slot) {
  return slot == kMemorySlot || slot == kNicSlot || slot == kShareSlot;
}

}  // namespace

std::string PciSlot::Bus() const { return absl::StrCat("pb", bridge); }

std::string PciSlot::Addr() const {
  return absl::StrCat("0x", absl::Hex(slot));
}

std::string DiskId(absl::string_view serial, const PciSlot& slot) {
  return absl::StrCat(kDiskPrefix, serial, "-", slot.bridge, "-", slot.slot);
}

std::optional<std::string> FindDisk(const std::vector<std::string>& device_ids,
                                    absl::string_view serial) {
  for (const std::string& id : device_ids) {
    const std::optional<DiskPlace> place = ParseDiskId(id);
    if (place.has_value() && absl::string_view(place->serial) == serial) {
      return id;
    }
  }
  return std::nullopt;
}

std::optional<PciSlot> FreeDiskSlot(const std::vector<std::string>& device_ids,
                                    int bridges) {
  for (int bridge = 0; bridge < bridges; ++bridge) {
    for (int number = 1; number <= kSlotsPerBridge; ++number) {
      const PciSlot slot = {bridge, number};
      const bool taken =
          IsReserved(slot) ||
          std::any_of(device_ids.begin(), device_ids.end(),
                      [&](const std::string& id) {
                        const std::optional<DiskPlace> place = ParseDiskId(id);
                        return place.has_value() && place->slot == slot;
                      });
      if (!taken) return slot;
    }
  }
  return std::nullopt;
}

}  // namespace podvisor
