#include "cri/convert_device.h"

#include <string>

#include "absl/strings/match.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

using runtime::v1::ContainerConfig;

ContainerConfig WithDevice(const std::string& host_path,
                           const std::string& container_path,
                           const std::string& permissions) {
  ContainerConfig config;
  runtime::v1::Device& device = *config.add_devices();
  device.set_host_path(host_path);
  device.set_container_path(container_path);
  device.set_permissions(permissions);
  return config;
}

TEST(ConvertDeviceTest, WhatTheGuestHasItselfIsGiven) {
  EXPECT_TRUE(ConvertDevices(ContainerConfig())->empty());
  for (const char* path :
       {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom",
        "/dev/tty", "/dev/fuse", "/dev/net/tun"}) {
    const auto devices = ConvertDevices(WithDevice(path, "/dev/x", "mrw"));
    ASSERT_TRUE(devices.ok()) << devices.status();
    EXPECT_EQ(*devices, std::vector<DeviceSpec>({{"/dev/x", path, "mrw"}}));
  }
}

TEST(ConvertDeviceTest, EverythingElseIsRefusedWithItsNameAndTheReason) {
  for (const auto& [path, reason] :
       {std::pair("/dev/sda", "/dev/sda: it is the host's"),
        std::pair("/dev/kmsg", "/dev/kmsg: it is the host's"),
        std::pair("/dev/loop-control", "it is the host's"),
        std::pair("/dev", "/dev: it is the host's"),
        std::pair("/dev/fuse/", "it is the host's"),
        std::pair("/tmp/null", "/tmp/null: it is the host's"),
        std::pair("/dev/kvm", "cannot have VMs"),
        std::pair("/dev/vfio/vfio", "/dev/vfio/vfio: no PCI device"),
        std::pair("/dev/vfio/12", "no PCI device")}) {
    const absl::Status status =
        ConvertDevices(WithDevice(path, "/dev/x", "rwm")).status();
    EXPECT_TRUE(absl::IsUnimplemented(status)) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), reason)) << status;
  }
}

TEST(ConvertDeviceTest, DevicesOfCdiAreRefusedByName) {
  ContainerConfig config;
  config.add_cdi_devices()->set_name("vendor.com/gpu=1");
  const absl::Status status = ConvertDevices(config).status();
  EXPECT_TRUE(absl::IsUnimplemented(status));
  EXPECT_TRUE(absl::StrContains(status.message(), "vendor.com/gpu=1"));
}

TEST(ConvertDeviceTest, MistakesAreNamed) {
  struct Case {
    const char* host_path;
    const char* container_path;
    const char* permissions;
    const char* message;
  };
  for (const Case& c : {
           Case{"", "/dev/x", "r", "config.devices[0].host_path: is empty"},
           Case{"/dev/../x", "/dev/x", "r", "contains \"..\""},
           Case{"/dev/null", "", "r", "container_path: is empty"},
           Case{"/dev/null", "dev/x", "r", "container_path"},
           Case{"/dev/null", "/dev/x", "", "permissions: \"\" is not"},
           Case{"/dev/null", "/dev/x", "rx", "permissions: \"rx\" is not"},
           Case{"/dev/null", "/dev/x", "rr", "permissions: \"rr\" is not"},
       }) {
    const absl::Status status =
        ConvertDevices(WithDevice(c.host_path, c.container_path, c.permissions))
            .status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), c.message)) << status;
  }
}

TEST(ConvertDeviceTest, ThereIsABound) {
  ContainerConfig config;
  for (int i = 0; i < 257; ++i) config.add_devices();
  EXPECT_TRUE(absl::IsInvalidArgument(ConvertDevices(config).status()));
}

}  // namespace
}  // namespace podvisor
