#include "cri/convert_device.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/clean_text.h"
#include "base/status_macros.h"
#include "cri/field_check.h"

namespace podvisor {
namespace {

constexpr int kMaxDevices = 256;

constexpr absl::string_view kGuestDevices[] = {
    "/dev/null",    "/dev/zero", "/dev/full", "/dev/random",
    "/dev/urandom", "/dev/tty",  "/dev/fuse", "/dev/net/tun"};

absl::string_view WhyNot(absl::string_view path) {
  if (path == "/dev/vfio" || absl::StartsWith(path, "/dev/vfio/")) {
    return "no PCI device of the host is passed to a VM";
  }
  if (path == "/dev/kvm") return "a VM of a pod cannot have VMs of its own";
  return "it is the host's, and a container has devices of its VM's kernel "
         "only";
}

absl::Status CheckPermissions(absl::string_view field,
                              absl::string_view permissions) {
  const bool twice = std::any_of(
      permissions.begin(), permissions.end(), [permissions](char c) {
        return std::count(permissions.begin(), permissions.end(), c) > 1;
      });
  if (permissions.empty() || twice ||
      permissions.find_first_not_of("rwm") != absl::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, ": \"", CleanText(permissions, 64),
                     "\" is not one or more of r, w and m"));
  }
  return absl::OkStatus();
}

absl::StatusOr<DeviceSpec> ConvertDevice(const runtime::v1::Device& device,
                                         absl::string_view field) {
  RETURN_IF_ERROR(
      CheckAbsolutePath(absl::StrCat(field, ".host_path"), device.host_path()));
  RETURN_IF_ERROR(CheckAbsolutePath(absl::StrCat(field, ".container_path"),
                                    device.container_path()));
  RETURN_IF_ERROR(CheckPermissions(absl::StrCat(field, ".permissions"),
                                   device.permissions()));
  if (std::find(std::begin(kGuestDevices), std::end(kGuestDevices),
                device.host_path()) == std::end(kGuestDevices)) {
    return absl::UnimplementedError(
        absl::StrCat(field, ".host_path: ", CleanText(device.host_path(), 256),
                     ": ", WhyNot(device.host_path())));
  }
  return DeviceSpec{device.container_path(), device.host_path(),
                    device.permissions()};
}

}  // namespace

absl::StatusOr<std::vector<DeviceSpec>> ConvertDevices(
    const runtime::v1::ContainerConfig& config) {
  if (config.cdi_devices_size() > 0) {
    return absl::UnimplementedError(absl::StrCat(
        "config.CDI_devices[0]: ", CleanText(config.cdi_devices(0).name(), 256),
        ": what CDI describes is of the host, where no container is"));
  }
  if (config.devices_size() > kMaxDevices) {
    return absl::InvalidArgumentError(
        absl::StrCat("config.devices: has ", config.devices_size(),
                     " devices; at most ", kMaxDevices, " are allowed"));
  }
  std::vector<DeviceSpec> devices;
  for (int i = 0; i < config.devices_size(); ++i) {
    ASSIGN_OR_RETURN(DeviceSpec device,
                     ConvertDevice(config.devices(i),
                                   absl::StrCat("config.devices[", i, "]")));
    devices.push_back(std::move(device));
  }
  return devices;
}

}  // namespace podvisor
