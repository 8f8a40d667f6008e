// The commands of FakeQemu, with the texts of QEMU 7.2.

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "hotplug/fake_qemu.h"
#include "hotplug/qmp_message.h"

namespace podvisor {
namespace {

using Json = nlohmann::json;

constexpr char kVcpuDriver[] = "qemu64-x86_64-cpu";
constexpr int64_t kVirtioMemBlock = 2 << 20;

absl::Status Generic(absl::string_view text) {
  return RejectionStatus("fake", {.id = std::nullopt,
                                  .error_class = "GenericError",
                                  .description = std::string(text)});
}

absl::Status NoDevice(absl::string_view id) {
  return RejectionStatus(
      "fake", {.id = std::nullopt,
               .error_class = "DeviceNotFound",
               .description = absl::StrCat("Device '", id, "' not found")});
}

std::string Text(const Json& in, const char* key) {
  const auto member = in.find(key);
  return member != in.end() && member->is_string() ? member->get<std::string>()
                                                   : "";
}

int64_t Number(const Json& in, const char* key, int64_t otherwise) {
  const auto member = in.find(key);
  return member != in.end() && member->is_number_integer()
             ? member->get<int64_t>()
             : otherwise;
}

// "vm0" and "/machine/peripheral/vm0" name the same device.
std::string DeviceAt(const Json& in) {
  const std::string path = Text(in, "path");
  return std::string(absl::StripPrefix(path, "/machine/peripheral/"));
}

}  // namespace

const std::map<std::string, FakeQemu::Handler>& FakeQemu::Handlers() {
  static const auto* const kHandlers = new std::map<std::string, Handler>{
      {"add-fd", &FakeQemu::AddFd},
      {"blockdev-add", &FakeQemu::BackendAdd},
      {"blockdev-del", &FakeQemu::BackendDel},
      {"chardev-add", &FakeQemu::BackendAdd},
      {"chardev-remove", &FakeQemu::BackendDel},
      {"closefd", &FakeQemu::Nothing},
      {"cont", &FakeQemu::Cont},
      {"device_add", &FakeQemu::DeviceAdd},
      {"device_del", &FakeQemu::DeviceDel},
      {"getfd", &FakeQemu::GetFd},
      {"netdev_add", &FakeQemu::BackendAdd},
      {"netdev_del", &FakeQemu::BackendDel},
      {"object-add", &FakeQemu::ObjectAdd},
      {"object-del", &FakeQemu::ObjectDel},
      {"qmp_capabilities", &FakeQemu::Nothing},
      {"qom-get", &FakeQemu::QomGet},
      {"qom-list", &FakeQemu::QomList},
      {"qom-set", &FakeQemu::QomSet},
      {"query-cpus-fast", &FakeQemu::QueryCpus},
      {"query-fdsets", &FakeQemu::QueryFdsets},
      {"query-hotpluggable-cpus", &FakeQemu::QueryHotpluggableCpus},
      {"query-memdev", &FakeQemu::QueryMemdev},
      {"query-memory-devices", &FakeQemu::QueryMemoryDevices},
      {"query-status", &FakeQemu::QueryStatus},
      {"query-version", &FakeQemu::QueryVersion},
      {"quit", &FakeQemu::Quit},
      {"remove-fd", &FakeQemu::RemoveFd},
      {"stop", &FakeQemu::Stop},
      {"system_powerdown", &FakeQemu::Nothing},
  };
  return *kHandlers;
}

absl::StatusOr<Json> FakeQemu::Dispatch(const std::string& command,
                                        const Json& in) {
  const auto handler = Handlers().find(command);
  if (handler == Handlers().end()) {
    return RejectionStatus(
        command, {.id = std::nullopt,
                  .error_class = "CommandNotFound",
                  .description = absl::StrCat("The command ", command,
                                              " has not been found")});
  }
  return (this->*handler->second)(in);
}

absl::StatusOr<Json> FakeQemu::Nothing(const Json&) { return Json::object(); }

absl::StatusOr<Json> FakeQemu::QueryVersion(const Json&) {
  return Json{{"qemu",
               {{"major", options_.version.major},
                {"minor", options_.version.minor},
                {"micro", options_.version.micro}}},
              {"package", "fake"}};
}

absl::StatusOr<Json> FakeQemu::QueryStatus(const Json&) {
  return Json{{"status", running_ ? "running" : "paused"},
              {"singlestep", false},
              {"running", running_}};
}

absl::StatusOr<Json> FakeQemu::Stop(const Json&) {
  if (std::exchange(running_, false)) Send("STOP", Json::object());
  return Json::object();
}

absl::StatusOr<Json> FakeQemu::Cont(const Json&) {
  if (!std::exchange(running_, true)) Send("RESUME", Json::object());
  return Json::object();
}

absl::StatusOr<Json> FakeQemu::Quit(const Json&) {
  Send("SHUTDOWN", {{"guest", false}, {"reason", "host-qmp-quit"}});
  alive_ = false;
  BreakConnections();
  return Json::object();
}

int FakeQemu::CountVcpus() const { return static_cast<int>(sockets_.size()); }

absl::StatusOr<Json> FakeQemu::QueryCpus(const Json&) {
  Json cpus = Json::array();
  for (const auto& [socket, id] : sockets_) {
    cpus.push_back({{"cpu-index", socket},
                    {"thread-id", 100'000 + socket},
                    {"target", "x86_64"}});
  }
  return cpus;
}

absl::StatusOr<Json> FakeQemu::QueryHotpluggableCpus(const Json&) {
  Json slots = Json::array();
  for (int socket = options_.max_vcpus - 1; socket >= 0; --socket) {
    Json slot = {{"props",
                  {{"socket-id", socket},
                   {"core-id", 0},
                   {"thread-id", 0},
                   {"node-id", 0}}},
                 {"vcpus-count", 1},
                 {"type", kVcpuDriver}};
    if (const auto vcpu = sockets_.find(socket); vcpu != sockets_.end()) {
      slot["qom-path"] =
          vcpu->second.empty()
              ? absl::StrCat("/machine/unattached/device[", socket, "]")
              : absl::StrCat("/machine/peripheral/", vcpu->second);
    }
    slots.push_back(std::move(slot));
  }
  return slots;
}

absl::StatusOr<Json> FakeQemu::QueryMemoryDevices(const Json&) {
  if (looks_left_ > 0) {
    --looks_left_;
  } else {
    memory_shown_ = memory_plugged_;
  }
  Json list = Json::array();
  for (const auto& [id, device] : devices_) {
    const std::string backend = Text(device, "memdev");
    if (Text(device, "driver") == "pc-dimm") {
      list.push_back({{"type", "dimm"},
                      {"data",
                       {{"id", id},
                        {"slot", Number(device, "slot", 0)},
                        {"memdev", absl::StrCat("/objects/", backend)},
                        {"size", Number(objects_[backend], "size", 0)},
                        {"node", 0},
                        {"hotplugged", true},
                        {"hotpluggable", true}}}});
      continue;
    }
    if (Text(device, "driver") != "virtio-mem-pci") continue;
    list.push_back({{"type", "virtio-mem"},
                    {"data",
                     {{"id", id},
                      {"memdev", absl::StrCat("/objects/", backend)},
                      {"memaddr", int64_t{4} << 30},
                      {"node", 0},
                      {"block-size", kVirtioMemBlock},
                      {"max-size", Number(objects_[backend], "size", 0)},
                      {"requested-size", memory_requested_},
                      {"size", memory_shown_}}}});
  }
  return list;
}

absl::StatusOr<Json> FakeQemu::QueryMemdev(const Json&) {
  Json list = Json::array();
  for (const auto& [id, object] : objects_) {
    list.push_back({{"id", id}, {"size", Number(object, "size", 0)}});
  }
  return list;
}

absl::StatusOr<Json> FakeQemu::ObjectAdd(const Json& in) {
  const std::string id = Text(in, "id");
  if (id.empty()) return Generic("Parameter 'id' is missing");
  if (Number(in, "size", 0) <= 0) {
    return Generic(
        "property 'size' of memory-backend-memfd doesn't take "
        "value '0'");
  }
  if (!objects_.emplace(id, in).second) {
    return Generic(absl::StrCat("attempt to add duplicate property '", id,
                                "' to object (type 'container')"));
  }
  return Json::object();
}

std::string FakeQemu::UserOf(absl::string_view backend) const {
  for (const auto& [id, device] : devices_) {
    for (const char* key : {"memdev", "drive", "netdev", "chardev"}) {
      if (Text(device, key) == std::string(backend)) return id;
    }
  }
  return "";
}

absl::StatusOr<Json> FakeQemu::ObjectDel(const Json& in) {
  const std::string id = Text(in, "id");
  if (!objects_.contains(id)) {
    return Generic(absl::StrCat("object '", id, "' not found"));
  }
  if (!UserOf(id).empty()) {
    return Generic(
        absl::StrCat("object '", id, "' is in use, can not be deleted"));
  }
  objects_.erase(id);
  return Json::object();
}

absl::Status FakeQemu::PlugVcpu(const Json& in) {
  const int socket = static_cast<int>(Number(in, "socket-id", -1));
  if (socket < 0 || socket >= options_.max_vcpus) {
    return Generic(absl::StrCat("Invalid CPU socket-id: ", socket));
  }
  if (sockets_.contains(socket)) {
    return Generic(absl::StrCat("CPU[", socket, "] exists"));
  }
  sockets_[socket] = Text(in, "id");
  ShowCpusToGuest();
  return absl::OkStatus();
}

void FakeQemu::ShowCpusToGuest() {
  if (guest_ != nullptr) guest_->SetPresentCpus(CountVcpus());
}

absl::StatusOr<Json> FakeQemu::DeviceAdd(const Json& in) {
  const std::string id = Text(in, "id");
  const std::string driver = Text(in, "driver");
  if (faults_.dies_at_plug_after_vcpu_removal && vcpu_was_removed_) {
    alive_ = false;
    BreakConnections();
    return absl::UnavailableError("QMP: connection reset");
  }
  if (faults_.device_add_refused) return Generic("no slot/function available");
  if (driver.empty()) return Generic("Parameter 'driver' is missing");
  if (devices_.contains(id)) {
    return Generic(absl::StrCat("Duplicate device ID '", id, "'"));
  }
  if (absl::EndsWith(driver, "-cpu")) {
    if (driver != kVcpuDriver) return Generic("Invalid CPU type");
    if (const absl::Status added = PlugVcpu(in); !added.ok()) return added;
  }
  for (const char* key : {"drive", "netdev", "chardev"}) {
    const std::string backend = Text(in, key);
    if (backend.empty()) continue;
    if (!backends_.contains(backend)) {
      return Generic(absl::StrCat("Property '", driver, ".", key,
                                  "' can't find value '", backend, "'"));
    }
    if (!UserOf(backend).empty()) return Generic("Drive is already in use");
  }
  if (driver == "virtio-mem-pci") {
    const std::string memdev = Text(in, "memdev");
    if (!objects_.contains(memdev)) return Generic("Device 'memdev' not found");
    const int64_t requested = Number(in, "requested-size", 0);
    if (requested > Number(objects_[memdev], "size", 0)) {
      return Generic("'requested-size' cannot exceed the memory backend size");
    }
    devices_[id] = in;
    ResizeMemory(requested);
    return Json::object();
  }
  if (driver == "pc-dimm") {
    const std::string memdev = Text(in, "memdev");
    if (!objects_.contains(memdev)) return Generic("Device 'memdev' not found");
    if (!UserOf(memdev).empty())
      return Generic("can't use already busy memdev");
    devices_[id] = in;
    ShowDimmsToGuest();
    return Json::object();
  }
  devices_[id] = in;
  return Json::object();
}

int64_t FakeQemu::ShowDimmsToGuest() {
  int64_t bytes = 0;
  for (const auto& [id, device] : devices_) {
    if (Text(device, "driver") != "pc-dimm") continue;
    bytes += Number(objects_[Text(device, "memdev")], "size", 0);
  }
  if (guest_ == nullptr) return 0;
  return guest_->SetMemoryTotal(guest_boot_memory_ + bytes) -
         guest_boot_memory_ - bytes;
}

absl::StatusOr<Json> FakeQemu::DeviceDel(const Json& in) {
  const std::string id = Text(in, "id");
  const auto device = devices_.find(id);
  if (device == devices_.end()) return NoDevice(id);
  const std::string driver = Text(device->second, "driver");
  if (driver == "virtio-mem-pci") {
    return Generic("virtio based memory devices cannot be unplugged.");
  }
  const std::string path = absl::StrCat("/machine/peripheral/", id);
  if (faults_.guest_refuses_unplug) {
    Send("DEVICE_UNPLUG_GUEST_ERROR", {{"device", id}, {"path", path}});
    return Json::object();
  }
  if (faults_.guest_ignores_unplug) return Json::object();
  if (driver == "pc-dimm") {
    const Json dimm = device->second;
    devices_.erase(device);
    if (ShowDimmsToGuest() > 0) {
      // The guest could not take all of it offline, and so keeps it whole.
      devices_[id] = dimm;
      ShowDimmsToGuest();
      Send("ACPI_DEVICE_OST",
           {{"info",
             {{"device", id},
              {"slot", absl::StrCat(Number(dimm, "slot", 0))},
              {"slot-type", "DIMM"},
              {"source", 3},
              {"status", 1}}}});
      return Json::object();
    }
    Send("DEVICE_DELETED", {{"device", id}, {"path", path}});
    return Json::object();
  }
  std::erase_if(sockets_, [&](const auto& s) { return s.second == id; });
  devices_.erase(device);
  ShowCpusToGuest();
  if (absl::EndsWith(driver, "-cpu")) {
    // All that is ever said: QEMU 7.2 leaks the vCPU itself.
    vcpu_was_removed_ = true;
    Send("DEVICE_DELETED", {{"path", absl::StrCat(path, "/lapic")}});
    return Json::object();
  }
  if (absl::StartsWith(driver, "virtio-")) {
    // The inner half of a virtio device goes first, and has no id.
    Send("DEVICE_DELETED", {{"path", absl::StrCat(path, "/virtio-backend")}});
  }
  Send("DEVICE_DELETED", {{"device", id}, {"path", path}});
  return Json::object();
}

void FakeQemu::ResizeMemory(int64_t requested) {
  memory_requested_ = requested;
  if (guest_ == nullptr) return;  // nobody there to take it
  const int64_t total = guest_->SetMemoryTotal(guest_boot_memory_ + requested);
  // Memory that the guest keeps stays plugged; memory that it plugs but does
  // not bring online is plugged nevertheless.
  memory_plugged_ = std::max(requested, total - guest_boot_memory_);
  looks_left_ = faults_.looks_until_size_changes;
  if (looks_left_ == 0) memory_shown_ = memory_plugged_;
  for (const auto& [id, device] : devices_) {
    if (Text(device, "driver") == "virtio-mem-pci") {
      Send("MEMORY_DEVICE_SIZE_CHANGE",
           {{"id", id}, {"size", memory_plugged_}});
    }
  }
}

void FakeQemu::GuestTriesAgain() {
  absl::MutexLock lock(&mutex_);
  ResizeMemory(memory_requested_);
}

absl::StatusOr<Json> FakeQemu::QomGet(const Json& in) {
  const std::string id = DeviceAt(in);
  const auto device = devices_.find(id);
  if (device == devices_.end()) return NoDevice(id);
  const std::string property = Text(in, "property");
  if (Text(device->second, "driver") == "virtio-mem-pci") {
    if (property == "size") return Json(memory_shown_);
    if (property == "requested-size") return Json(memory_requested_);
    if (property == "block-size") return Json(kVirtioMemBlock);
  }
  const auto value = device->second.find(property);
  if (value != device->second.end()) return *value;
  return Generic(absl::StrCat("Property '", property, "' not found"));
}

absl::StatusOr<Json> FakeQemu::QomSet(const Json& in) {
  const std::string id = DeviceAt(in);
  const auto device = devices_.find(id);
  if (device == devices_.end()) return NoDevice(id);
  if (Text(in, "property") != "requested-size") {
    return Generic("Insufficient permission to perform this operation");
  }
  const int64_t value = Number(in, "value", -1);
  const int64_t max =
      Number(objects_[Text(device->second, "memdev")], "size", 0);
  if (value < 0 || value % kVirtioMemBlock != 0) {
    return Generic("'requested-size' has to be multiples of 'block-size'");
  }
  if (value > max) {
    return Generic("'requested-size' cannot exceed the memory backend size");
  }
  // The guest hears of a change only.
  if (value != memory_requested_) ResizeMemory(value);
  return Json::object();
}

absl::StatusOr<Json> FakeQemu::QomList(const Json&) {
  Json list = Json::array({{{"name", "type"}, {"type", "string"}}});
  for (const auto& [id, device] : devices_) {
    list.push_back(
        {{"name", id},
         {"type", absl::StrCat("child<", Text(device, "driver"), ">")}});
  }
  return list;
}

absl::StatusOr<Json> FakeQemu::BackendAdd(const Json& in) {
  const std::string name =
      in.contains("node-name") ? Text(in, "node-name") : Text(in, "id");
  if (name.empty()) return Generic("Parameter 'id' is missing");
  if (!backends_.emplace(name, in).second) {
    return Generic(absl::StrCat("Duplicate nodes with node-name='", name, "'"));
  }
  return Json::object();
}

absl::StatusOr<Json> FakeQemu::BackendDel(const Json& in) {
  const std::string name =
      in.contains("node-name") ? Text(in, "node-name") : Text(in, "id");
  if (!backends_.contains(name)) {
    return Generic(
        absl::StrCat("Failed to find node with node-name='", name, "'"));
  }
  if (!UserOf(name).empty()) {
    return Generic(absl::StrCat("Node ", name, " is in use"));
  }
  backends_.erase(name);
  return Json::object();
}

absl::StatusOr<Json> FakeQemu::AddFd(const Json& in) {
  if (!fd_came_) return Generic("No file descriptor supplied via SCM_RIGHTS");
  const int64_t next = fd_sets_.empty() ? 0 : fd_sets_.rbegin()->first + 1;
  const int64_t id = Number(in, "fdset-id", next);
  fd_sets_[id] = Text(in, "opaque");
  return Json{{"fdset-id", id}, {"fd", 1000 + id}};
}

absl::StatusOr<Json> FakeQemu::RemoveFd(const Json& in) {
  const int64_t id = Number(in, "fdset-id", -1);
  if (fd_sets_.erase(id) == 0) {
    return Generic(
        absl::StrCat("File descriptor named 'fdset-id:", id, "' not found"));
  }
  return Json::object();
}

absl::StatusOr<Json> FakeQemu::QueryFdsets(const Json&) {
  Json list = Json::array();
  for (const auto& [id, opaque] : fd_sets_) {
    list.push_back(
        {{"fdset-id", id},
         {"fds", Json::array({{{"fd", 1000 + id}, {"opaque", opaque}}})}});
  }
  return list;
}

absl::StatusOr<Json> FakeQemu::GetFd(const Json& in) {
  if (!fd_came_) return Generic("No file descriptor supplied via SCM_RIGHTS");
  if (Text(in, "fdname").empty())
    return Generic("Parameter 'fdname' is missing");
  return Json::object();
}

}  // namespace podvisor
