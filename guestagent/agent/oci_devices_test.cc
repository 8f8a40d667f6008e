#include "guestagent/agent/oci_devices.h"

#include "gtest/gtest.h"

namespace podvisor {
namespace {

TEST(OciDevicesTest, PortMajorIsFoundInProcDevices) {
  EXPECT_EQ(FindPortMajor("Character devices:\n  1 mem\n244 virtio-portsdev\n"
                          "\nBlock devices:\n254 virtblk\n"),
            244);
  EXPECT_EQ(FindPortMajor(""), -1);
  EXPECT_EQ(FindPortMajor("x virtio-portsdev\n-4 virtio-portsdev\n"), -1);
}

TEST(OciDevicesTest, OnlyACharacterDeviceIsFound) {
  const auto null = FindCharacterDevice("/dev/null");
  ASSERT_TRUE(null.ok()) << null.status();
  EXPECT_EQ(null->major, 1);
  EXPECT_EQ(null->minor, 3);
  for (const char* path : {"/dev", "/dev/stdin", "/dev/none", "/etc/passwd"}) {
    EXPECT_TRUE(absl::IsNotFound(FindCharacterDevice(path).status())) << path;
  }
}

TEST(OciDevicesTest, OrdinaryDevicesAreLeftOut) {
  for (const DeviceNode& node : ListDeviceNodes("/dev")) {
    EXPECT_EQ(node.path.rfind("/dev/", 0), 0u);
    EXPECT_NE(node.path, "/dev/null");
    EXPECT_NE(node.path.rfind("/dev/vport", 0), 0u);
  }
  EXPECT_TRUE(ListDeviceNodes("/nonexistent").empty());
}

}  // namespace
}  // namespace podvisor
