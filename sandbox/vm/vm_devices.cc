#include "sandbox/vm/vm_devices.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "guestagent/plain_names.h"
#include "hotplug/device_removal.h"
#include "nlohmann/json.hpp"
#include "sandbox/vm/pci_layout.h"

namespace podvisor {
namespace {

using Json = nlohmann::json;

constexpr char kShareBackend[] = "share-chardev";
constexpr char kShareFd[] = "share-fd";
constexpr char kNicBackend[] = "nic-netdev";
constexpr char kNicFd[] = "nic-fd";
// What is put back after a failure gets time of its own: the call's is usually
// over.
constexpr absl::Duration kUndoTime = absl::Seconds(5);

std::string NodeName(absl::string_view serial) {
  return absl::StrCat("node-", serial);
}

absl::Status Run(QmpClient& qmp, absl::string_view command, const Json& in,
                 absl::Time deadline) {
  return qmp.Execute(command, in.dump(), deadline).status();
}

// QEMU 7.2 has no error class for a thing that is not there.
bool IsAbsent(const absl::Status& status) {
  return absl::IsNotFound(status) ||
         (absl::IsInvalidArgument(status) &&
          (absl::StrContains(status.message(), "Failed to find node") ||
           absl::StrContains(status.message(), "not found")));
}

absl::Status OkIfAbsent(const absl::Status& status) {
  return IsAbsent(status) ? absl::OkStatus() : status;
}

void LogUndo(const absl::Status& status) {
  if (status.ok()) return;
  Log(LogLevel::kWarning, "a device that was refused left something in QEMU",
      {{"error", status.message()}});
}

bool IsTag(absl::string_view tag) {
  return !tag.empty() && tag.size() <= 32 &&
         std::all_of(tag.begin(), tag.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
         });
}

bool IsMac(absl::string_view mac) {
  if (mac.size() != 17) return false;
  for (size_t i = 0; i < mac.size(); ++i) {
    const bool hex =
        (mac[i] >= '0' && mac[i] <= '9') || (mac[i] >= 'a' && mac[i] <= 'f');
    if (i % 3 == 2 ? mac[i] != ':' : !hex) return false;
  }
  return true;
}

}  // namespace

VmDevices::VmDevices(QmpClient* qmp, Clock* clock, int bridges)
    : qmp_(qmp), clock_(clock), bridges_(bridges) {}

absl::StatusOr<std::vector<std::string>> VmDevices::DeviceIds(
    absl::Time deadline) {
  ASSIGN_OR_RETURN(
      const std::string text,
      qmp_->Execute("qom-list", R"({"path":"/machine/peripheral"})", deadline));
  const Json list = Json::parse(text, nullptr, false);
  if (!list.is_array()) return absl::DataLossError("qom-list: no list");
  std::vector<std::string> ids;
  for (const Json& entry : list) {
    if (!entry.is_object()) return absl::DataLossError("qom-list: no object");
    const auto name = entry.find("name");
    if (name == entry.end() || !name->is_string()) {
      return absl::DataLossError("qom-list: no name");
    }
    ids.push_back(name->get<std::string>());
  }
  return ids;
}

absl::StatusOr<bool> VmDevices::HasDevice(absl::string_view id,
                                          absl::Time deadline) {
  ASSIGN_OR_RETURN(const std::vector<std::string> ids, DeviceIds(deadline));
  return std::find(ids.begin(), ids.end(), std::string(id)) != ids.end();
}

absl::Status VmDevices::RemoveFdSets(absl::string_view opaque,
                                     absl::Time deadline) {
  ASSIGN_OR_RETURN(const std::string text,
                   qmp_->Execute("query-fdsets", "", deadline));
  const Json sets = Json::parse(text, nullptr, false);
  if (!sets.is_array()) return absl::DataLossError("query-fdsets: no list");
  for (const Json& set : sets) {
    if (!set.is_object() || !set.contains("fds") || !set["fds"].is_array() ||
        !set.contains("fdset-id") || !set["fdset-id"].is_number_integer()) {
      return absl::DataLossError("query-fdsets: no set");
    }
    for (const Json& fd : set["fds"]) {
      const auto text_of = fd.is_object() ? fd.find("opaque") : fd.end();
      if (!fd.is_object() || text_of == fd.end() || !text_of->is_string() ||
          absl::string_view(text_of->get_ref<const std::string&>()) != opaque) {
        continue;
      }
      RETURN_IF_ERROR(OkIfAbsent(
          Run(*qmp_, "remove-fd",
              {{"fdset-id", set["fdset-id"].get<int64_t>()}}, deadline)));
      break;
    }
  }
  return absl::OkStatus();
}

absl::Status VmDevices::RemoveBlockNode(absl::string_view serial,
                                        absl::Time deadline) {
  RETURN_IF_ERROR(OkIfAbsent(
      Run(*qmp_, "blockdev-del", {{"node-name", NodeName(serial)}}, deadline)));
  return RemoveFdSets(NodeName(serial), deadline);
}

absl::Status VmDevices::AddBlockNode(const DiskAttachment& disk,
                                     absl::Time deadline) {
  const std::string node = NodeName(disk.serial);
  ASSIGN_OR_RETURN(
      const std::string text,
      qmp_->ExecuteWithFd("add-fd", Json({{"opaque", node}}).dump(), disk.fd,
                          deadline));
  const Json added = Json::parse(text, nullptr, false);
  if (!added.is_object() || !added.contains("fdset-id") ||
      !added["fdset-id"].is_number_integer()) {
    return absl::DataLossError("add-fd: no fdset-id");
  }
  const std::string file =
      absl::StrCat("/dev/fdset/", added["fdset-id"].get<int64_t>());
  // Not locked: a descriptor of ours that nobody else can name. Cached by the
  // host, so that VMs share the pages of an image.
  const Json node_json = {{"driver", "raw"},
                          {"node-name", node},
                          {"read-only", disk.read_only},
                          {"discard", "unmap"},
                          {"file",
                           {{"driver", "file"},
                            {"filename", file},
                            {"read-only", disk.read_only},
                            {"discard", "unmap"},
                            {"locking", "off"},
                            {"aio", "threads"}}}};
  return Run(*qmp_, "blockdev-add", node_json, deadline);
}

absl::Status VmDevices::AttachDisk(const DiskAttachment& disk,
                                   absl::Time deadline) {
  if (!IsDiskSerial(disk.serial)) {
    return absl::InvalidArgumentError("not a disk's serial");
  }
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(const std::vector<std::string> ids, DeviceIds(deadline));
  if (FindDisk(ids, disk.serial).has_value()) return absl::OkStatus();
  const std::optional<PciSlot> slot = FreeDiskSlot(ids, bridges_);
  if (!slot.has_value()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("no slot for another disk on ", bridges_,
                     " bridges: raise default_bridges"));
  }
  RETURN_IF_ERROR(RemoveBlockNode(disk.serial, deadline));
  absl::Status added = AddBlockNode(disk, deadline);
  if (added.ok()) {
    added = Run(*qmp_, "device_add",
                {{"driver", "virtio-blk-pci"},
                 {"id", DiskId(disk.serial, *slot)},
                 {"drive", NodeName(disk.serial)},
                 {"bus", slot->Bus()},
                 {"addr", slot->Addr()},
                 {"serial", disk.serial},
                 // One is enough for a guest that is one host thread, and a
                 // guest grows: its vCPUs share it.
                 {"num-queues", 1},
                 // QEMU's default is to stop the whole VM where the host's
                 // file system is full, until somebody continues it: all of the
                 // pod would hang for what one container writes.
                 {"werror", "report"},
                 {"rerror", "report"},
                 {"disable-legacy", "on"}},
                deadline);
  }
  if (!added.ok()) {
    LogUndo(RemoveBlockNode(disk.serial, clock_->Now() + kUndoTime));
    return Annotate(added, absl::StrCat("VM: attach disk ", disk.serial));
  }
  return absl::OkStatus();
}

absl::Status VmDevices::DetachDisk(absl::string_view serial,
                                   absl::Time deadline) {
  if (!IsDiskSerial(serial)) {
    return absl::InvalidArgumentError("not a disk's serial");
  }
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(const std::vector<std::string> ids, DeviceIds(deadline));
  if (const std::optional<std::string> id = FindDisk(ids, serial)) {
    RETURN_IF_ERROR(Annotate(RemoveDevice(*qmp_, *clock_, *id, deadline),
                             absl::StrCat("VM: detach disk ", serial)));
  }
  return Annotate(RemoveBlockNode(serial, deadline),
                  absl::StrCat("VM: close disk ", serial));
}

absl::StatusOr<bool> VmDevices::HasShare(absl::Time deadline) {
  absl::MutexLock lock(&mutex_);
  return HasDevice(kShareId, deadline);
}

absl::Status VmDevices::AttachShare(UniqueFd virtiofsd, absl::string_view tag,
                                    absl::Time deadline) {
  if (!IsTag(tag)) return absl::InvalidArgumentError("not a share's tag");
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(const bool there, HasDevice(kShareId, deadline));
  if (there) return absl::AlreadyExistsError("VM: the share is there already");
  RETURN_IF_ERROR(OkIfAbsent(
      Run(*qmp_, "chardev-remove", {{"id", kShareBackend}}, deadline)));
  RETURN_IF_ERROR(qmp_->ExecuteWithFd("getfd",
                                      Json({{"fdname", kShareFd}}).dump(),
                                      virtiofsd.get(), deadline)
                      .status());
  virtiofsd.Reset();  // QEMU's alone now: when it goes, virtiofsd goes
  const Json address = {{"type", "fd"}, {"data", {{"str", kShareFd}}}};
  absl::Status added =
      Run(*qmp_, "chardev-add",
          {{"id", kShareBackend},
           {"backend",
            {{"type", "socket"},
             {"data", {{"addr", address}, {"server", false}}}}}},
          deadline);
  if (!added.ok()) {
    LogUndo(OkIfAbsent(Run(*qmp_, "closefd", {{"fdname", kShareFd}},
                           clock_->Now() + kUndoTime)));
    return Annotate(added, "VM: attach the share");
  }
  added = Run(*qmp_, "device_add",
              {{"driver", "vhost-user-fs-pci"},
               {"id", kShareId},
               {"chardev", kShareBackend},
               {"tag", std::string(tag)},
               {"bus", kShareSlot.Bus()},
               {"addr", kShareSlot.Addr()}},
              deadline);
  if (!added.ok()) {
    LogUndo(OkIfAbsent(Run(*qmp_, "chardev-remove", {{"id", kShareBackend}},
                           clock_->Now() + kUndoTime)));
    return Annotate(added, "VM: attach the share");
  }
  return absl::OkStatus();
}

absl::Status VmDevices::DetachShare(absl::Time deadline) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(Annotate(RemoveDevice(*qmp_, *clock_, kShareId, deadline),
                           "VM: detach the share"));
  return OkIfAbsent(
      Run(*qmp_, "chardev-remove", {{"id", kShareBackend}}, deadline));
}

absl::Status VmDevices::AttachNic(const NicAttachment& nic,
                                  absl::Time deadline) {
  if (!IsMac(nic.mac)) return absl::InvalidArgumentError("not a MAC address");
  if (nic.mtu < 68 || nic.mtu > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("MTU ", nic.mtu));
  }
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(const bool there, HasDevice(kNicId, deadline));
  if (there) return absl::AlreadyExistsError("VM: the NIC is there already");
  RETURN_IF_ERROR(
      OkIfAbsent(Run(*qmp_, "netdev_del", {{"id", kNicBackend}}, deadline)));
  RETURN_IF_ERROR(qmp_->ExecuteWithFd("getfd",
                                      Json({{"fdname", kNicFd}}).dump(),
                                      nic.tap_fd, deadline)
                      .status());
  absl::Status added =
      Run(*qmp_, "netdev_add",
          {{"type", "tap"}, {"id", kNicBackend}, {"fd", kNicFd}}, deadline);
  if (!added.ok()) {
    LogUndo(OkIfAbsent(Run(*qmp_, "closefd", {{"fdname", kNicFd}},
                           clock_->Now() + kUndoTime)));
    return Annotate(added, "VM: attach the NIC");
  }
  added = Run(*qmp_, "device_add",
              {{"driver", "virtio-net-pci"},
               {"id", kNicId},
               {"netdev", kNicBackend},
               {"mac", nic.mac},
               {"host_mtu", nic.mtu},
               {"romfile", ""},
               {"bus", kNicSlot.Bus()},
               {"addr", kNicSlot.Addr()},
               {"disable-legacy", "on"}},
              deadline);
  if (!added.ok()) {
    LogUndo(OkIfAbsent(Run(*qmp_, "netdev_del", {{"id", kNicBackend}},
                           clock_->Now() + kUndoTime)));
    return Annotate(added, "VM: attach the NIC");
  }
  return absl::OkStatus();
}

}  // namespace podvisor
