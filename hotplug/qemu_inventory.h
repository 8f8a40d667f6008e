// What one QEMU has plugged, read from its answers.

#ifndef PODVISOR_HOTPLUG_QEMU_INVENTORY_H_
#define PODVISOR_HOTPLUG_QEMU_INVENTORY_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "hotplug/qmp_client.h"
#include "hotplug/vm_size.h"

namespace podvisor {

// One place for a vCPU, taken or free.
struct VcpuSlot {
  std::string driver;      // the device_add driver that fits
  std::string props_json;  // the object of properties that name the place
  bool plugged = false;
  // The device's id where the vCPU was hot-plugged and can be removed; empty
  // for one that is there since boot.
  std::string device_id;

  bool operator==(const VcpuSlot&) const = default;
};

// The hot-plugged virtio-mem device. Bytes.
struct MemoryDeviceState {
  std::string id;
  int64_t requested_bytes = 0;  // what was last asked of the guest
  int64_t plugged_bytes = 0;    // what the guest has taken
  int64_t max_bytes = 0;
  int64_t block_bytes = 0;

  bool operator==(const MemoryDeviceState&) const = default;
};

// The reply of query-hotpluggable-cpus, in the order in which slots are used:
// by socket, die, core, thread. DataLoss for nonsense, for more than 4096
// slots, and for none.
absl::StatusOr<std::vector<VcpuSlot>> ParseVcpuSlots(absl::string_view json);

// The reply of query-memory-devices: the virtio-mem device with this id, or
// nullopt. DataLoss for nonsense.
absl::StatusOr<std::optional<MemoryDeviceState>> ParseMemoryDevice(
    absl::string_view json, absl::string_view id);

// The id of the DIMM in a slot.
std::string DimmId(int slot);

// The same reply: the DIMMs that have these ids, by slot. DataLoss for
// nonsense.
absl::StatusOr<std::vector<Dimm>> ParseDimms(absl::string_view json);

// What has gone through one disk since it was plugged.
struct DiskBytes {
  uint64_t read = 0;
  uint64_t written = 0;

  bool operator==(const DiskBytes&) const = default;
};

// The reply of query-blockstats: the disks by the names of their block nodes.
// DataLoss for nonsense.
absl::StatusOr<std::map<std::string, DiskBytes>> ParseDiskBytes(
    absl::string_view json);

// The same, asked of a QEMU. Errors: see QmpClient.
absl::StatusOr<std::vector<VcpuSlot>> QueryVcpuSlots(QmpClient& qmp,
                                                     absl::Time deadline);
absl::StatusOr<std::optional<MemoryDeviceState>> QueryMemoryDevice(
    QmpClient& qmp, absl::string_view id, absl::Time deadline);

absl::StatusOr<std::vector<Dimm>> QueryDimms(QmpClient& qmp,
                                             absl::Time deadline);

absl::StatusOr<std::map<std::string, DiskBytes>> QueryDiskBytes(
    QmpClient& qmp, absl::Time deadline);

// The sizes of all memory backends, by their ids.
absl::StatusOr<std::map<std::string, int64_t>> QueryMemoryBackends(
    QmpClient& qmp, absl::Time deadline);

}  // namespace podvisor

#endif  // PODVISOR_HOTPLUG_QEMU_INVENTORY_H_
