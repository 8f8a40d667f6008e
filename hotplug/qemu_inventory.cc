#include "hotplug/qemu_inventory.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"

namespace podvisor {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxSlots = 4096;
constexpr size_t kMaxTextBytes = 256;
// QEMU's own limit of slots, and a size whose sums stay far from 63 bits.
constexpr int64_t kMaxDimmSlots = 256;
constexpr int64_t kMaxDimmBytes = int64_t{1} << 50;
// QEMU's home of devices that have an id, see docs/devel/qom.rst.
constexpr absl::string_view kPeripheral = "/machine/peripheral/";

absl::Status Nonsense(absl::string_view command) {
  return absl::DataLossError(
      absl::StrCat(command, ": QEMU's answer makes no sense"));
}

// A list of at most kMaxSlots objects.
absl::StatusOr<Json> ParseList(absl::string_view command,
                               absl::string_view json) {
  Json list = Json::parse(json.begin(), json.end(), nullptr, false);
  if (!list.is_array() || list.size() > kMaxSlots) return Nonsense(command);
  for (const Json& entry : list) {
    if (!entry.is_object()) return Nonsense(command);
  }
  return list;
}

std::optional<std::string> FindText(const Json& object, const char* key) {
  const auto member = object.find(key);
  if (member == object.end() || !member->is_string()) return std::nullopt;
  std::string text = member->get<std::string>();
  if (text.empty() || text.size() > kMaxTextBytes) return std::nullopt;
  return text;
}

std::optional<int64_t> FindBytes(const Json& object, const char* key) {
  const auto member = object.find(key);
  if (member == object.end() || !member->is_number_unsigned()) {
    return std::nullopt;
  }
  const uint64_t bytes = member->get<uint64_t>();
  if (bytes > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return std::nullopt;
  }
  return static_cast<int64_t>(bytes);
}

using SlotPlace = std::array<int64_t, 4>;

SlotPlace PlaceOf(const Json& props) {
  SlotPlace place = {};
  constexpr std::array<const char*, 4> kKeys = {"socket-id", "die-id",
                                                "core-id", "thread-id"};
  for (size_t i = 0; i < kKeys.size(); ++i) {
    place[i] = FindBytes(props, kKeys[i]).value_or(0);
  }
  return place;
}

// Properties go back to QEMU: only names with whole numbers.
bool ArePlain(const Json& props) {
  return props.is_object() && props.size() <= 16 &&
         std::all_of(props.begin(), props.end(), [](const Json& value) {
           return value.is_number_integer();
         });
}

}  // namespace

absl::StatusOr<std::vector<VcpuSlot>> ParseVcpuSlots(absl::string_view json) {
  constexpr absl::string_view kCommand = "query-hotpluggable-cpus";
  ASSIGN_OR_RETURN(const Json list, ParseList(kCommand, json));
  std::vector<std::pair<SlotPlace, VcpuSlot>> placed;
  for (const Json& entry : list) {
    std::optional<std::string> driver = FindText(entry, "type");
    const auto props = entry.find("props");
    if (!driver.has_value() || props == entry.end() || !ArePlain(*props) ||
        FindBytes(entry, "vcpus-count") != 1) {
      return Nonsense(kCommand);
    }
    VcpuSlot slot;
    slot.driver = *std::move(driver);
    slot.props_json = props->dump();
    if (entry.contains("qom-path")) {
      const std::optional<std::string> path = FindText(entry, "qom-path");
      if (!path.has_value()) return Nonsense(kCommand);
      slot.plugged = true;
      absl::string_view id = *path;
      if (absl::ConsumePrefix(&id, kPeripheral)) {
        slot.device_id = std::string(id);
      }
    }
    placed.emplace_back(PlaceOf(*props), std::move(slot));
  }
  if (placed.empty()) return Nonsense(kCommand);
  std::stable_sort(
      placed.begin(), placed.end(),
      [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<VcpuSlot> slots;
  slots.reserve(placed.size());
  for (auto& [place, slot] : placed) slots.push_back(std::move(slot));
  return slots;
}

absl::StatusOr<std::optional<MemoryDeviceState>> ParseMemoryDevice(
    absl::string_view json, absl::string_view id) {
  constexpr absl::string_view kCommand = "query-memory-devices";
  ASSIGN_OR_RETURN(const Json list, ParseList(kCommand, json));
  for (const Json& entry : list) {
    const auto data = entry.find("data");
    if (FindText(entry, "type") != "virtio-mem" || data == entry.end() ||
        !data->is_object() || FindText(*data, "id") != std::string(id)) {
      continue;
    }
    const auto requested = FindBytes(*data, "requested-size");
    const auto plugged = FindBytes(*data, "size");
    const auto max = FindBytes(*data, "max-size");
    const auto block = FindBytes(*data, "block-size");
    if (!requested || !plugged || !max || !block || *plugged > *max ||
        *requested > *max) {
      return Nonsense(kCommand);
    }
    return std::optional<MemoryDeviceState>({.id = std::string(id),
                                             .requested_bytes = *requested,
                                             .plugged_bytes = *plugged,
                                             .max_bytes = *max,
                                             .block_bytes = *block});
  }
  return std::optional<MemoryDeviceState>();
}

std::string DimmId(int slot) { return absl::StrCat("dimm", slot); }

absl::StatusOr<std::vector<Dimm>> ParseDimms(absl::string_view json) {
  constexpr absl::string_view kCommand = "query-memory-devices";
  ASSIGN_OR_RETURN(const Json list, ParseList(kCommand, json));
  std::vector<Dimm> dimms;
  for (const Json& entry : list) {
    const auto data = entry.find("data");
    if (FindText(entry, "type") != "dimm" || data == entry.end() ||
        !data->is_object()) {
      continue;
    }
    const auto slot = FindBytes(*data, "slot");
    const auto bytes = FindBytes(*data, "size");
    if (!slot || *slot >= kMaxDimmSlots || !bytes || *bytes > kMaxDimmBytes) {
      return Nonsense(kCommand);
    }
    const int number = static_cast<int>(*slot);
    if (FindText(*data, "id") != DimmId(number)) continue;
    dimms.push_back({.slot = number, .bytes = *bytes});
  }
  std::sort(dimms.begin(), dimms.end(),
            [](const Dimm& a, const Dimm& b) { return a.slot < b.slot; });
  return dimms;
}

absl::StatusOr<std::map<std::string, DiskBytes>> ParseDiskBytes(
    absl::string_view json) {
  constexpr absl::string_view kCommand = "query-blockstats";
  ASSIGN_OR_RETURN(const Json list, ParseList(kCommand, json));
  std::map<std::string, DiskBytes> disks;
  for (const Json& entry : list) {
    const std::optional<std::string> node = FindText(entry, "node-name");
    const auto stats = entry.find("stats");
    if (!node.has_value() || stats == entry.end() || !stats->is_object()) {
      return Nonsense(kCommand);
    }
    const std::optional<int64_t> read = FindBytes(*stats, "rd_bytes");
    const std::optional<int64_t> written = FindBytes(*stats, "wr_bytes");
    if (!read.has_value() || !written.has_value()) return Nonsense(kCommand);
    disks[*node] = {static_cast<uint64_t>(*read),
                    static_cast<uint64_t>(*written)};
  }
  return disks;
}

absl::StatusOr<std::vector<VcpuSlot>> QueryVcpuSlots(QmpClient& qmp,
                                                     absl::Time deadline) {
  ASSIGN_OR_RETURN(const std::string json,
                   qmp.Execute("query-hotpluggable-cpus", "", deadline));
  return ParseVcpuSlots(json);
}

absl::StatusOr<std::optional<MemoryDeviceState>> QueryMemoryDevice(
    QmpClient& qmp, absl::string_view id, absl::Time deadline) {
  ASSIGN_OR_RETURN(const std::string json,
                   qmp.Execute("query-memory-devices", "", deadline));
  return ParseMemoryDevice(json, id);
}

absl::StatusOr<std::vector<Dimm>> QueryDimms(QmpClient& qmp,
                                             absl::Time deadline) {
  ASSIGN_OR_RETURN(const std::string json,
                   qmp.Execute("query-memory-devices", "", deadline));
  return ParseDimms(json);
}

absl::StatusOr<std::map<std::string, DiskBytes>> QueryDiskBytes(
    QmpClient& qmp, absl::Time deadline) {
  ASSIGN_OR_RETURN(const std::string json,
                   qmp.Execute("query-blockstats", "", deadline));
  return ParseDiskBytes(json);
}

absl::StatusOr<std::map<std::string, int64_t>> QueryMemoryBackends(
    QmpClient& qmp, absl::Time deadline) {
  constexpr absl::string_view kCommand = "query-memdev";
  ASSIGN_OR_RETURN(const std::string json, qmp.Execute(kCommand, "", deadline));
  ASSIGN_OR_RETURN(const Json list, ParseList(kCommand, json));
  std::map<std::string, int64_t> backends;
  for (const Json& entry : list) {
    // A backend of the command line may have none.
    const std::optional<std::string> id = FindText(entry, "id");
    if (!id.has_value()) continue;
    const std::optional<int64_t> size = FindBytes(entry, "size");
    if (!size.has_value()) return Nonsense(kCommand);
    backends[*id] = *size;
  }
  return backends;
}

}  // namespace podvisor
