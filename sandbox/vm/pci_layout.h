#ifndef PODVISOR_SANDBOX_VM_PCI_LAYOUT_H_
#define PODVISOR_SANDBOX_VM_PCI_LAYOUT_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace podvisor {

// Which device sits where on a VM's bridges. A device's place is part of its
// id, so that QEMU's list of ids is the whole book: a daemon that has just
// started reads it, and no guest can falsify it. Pure.

// A slot on bridge "pb<bridge>". Slot 0 is the bridge's own hot-plug
// controller.
struct PciSlot {
  int bridge = 0;
  int slot = 0;

  std::string Bus() const;   // the QEMU property "bus"
  std::string Addr() const;  // the QEMU property "addr"
  bool operator==(const PciSlot&) const = default;
};

inline constexpr int kSlotsPerBridge = 31;

// Fixed places, all on the first bridge.
inline constexpr PciSlot kMemorySlot = {0, 1};  // virtio-mem, by hotplug/
inline constexpr PciSlot kNicSlot = {0, 2};
inline constexpr PciSlot kShareSlot = {0, 3};
inline constexpr char kNicId[] = "nic";
inline constexpr char kShareId[] = "share";

// `serial` is as IsDiskSerial() takes it.
std::string DiskId(absl::string_view serial, const PciSlot& slot);

// The id among `device_ids` of the disk with this serial.
std::optional<std::string> FindDisk(const std::vector<std::string>& device_ids,
                                    absl::string_view serial);

// The lowest slot that no disk in `device_ids` has.
std::optional<PciSlot> FreeDiskSlot(const std::vector<std::string>& device_ids,
                                    int bridges);

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_VM_PCI_LAYOUT_H_
