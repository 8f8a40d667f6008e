#include "sandbox/vm/vm_devices.h"

#include <fcntl.h>
#include <unistd.h>

#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "hotplug/fake_qemu.h"

namespace podvisor {
namespace {

class VmDevicesTest : public testing::Test {
 protected:
  absl::Time Soon() { return clock_.Now() + absl::Seconds(10); }
  DiskAttachment Disk(const std::string& serial) {
    return {serial, null_.get(), /*read_only=*/true};
  }
  NicAttachment Nic() { return {null_.get(), "02:00:00:00:00:0a", 1450}; }
  UniqueFd Socket() { return UniqueFd(dup(null_.get())); }
  bool Has(const std::string& id) { return qemu_.devices().count(id) > 0; }
  bool WasTold(const std::string& text) {
    for (const std::string& command : qemu_.commands()) {
      if (absl::StrContains(command, text)) return true;
    }
    return false;
  }
  void ExpectNothingLeft() {
    EXPECT_EQ(qemu_.devices(), std::set<std::string>());
    EXPECT_EQ(qemu_.block_nodes(), std::set<std::string>());
    EXPECT_EQ(qemu_.fd_sets(), std::set<int64_t>());
  }

  UniqueFd null_{open("/dev/null", O_RDONLY | O_CLOEXEC)};
  FakeClock clock_;
  FakeQemu qemu_{{}, nullptr, &clock_};
  std::unique_ptr<QmpClient> qmp_ = qemu_.Connect();
  VmDevices devices_{qmp_.get(), &clock_, 1};
};

TEST_F(VmDevicesTest, ADiskComesAndGoes) {
  ASSERT_TRUE(devices_.AttachDisk(Disk("scratch"), Soon()).ok());
  EXPECT_TRUE(Has("disk-scratch-0-4"));
  EXPECT_TRUE(WasTold(R"("read-only":true)"));
  EXPECT_TRUE(WasTold(R"("filename":"/dev/fdset/)"));
  EXPECT_TRUE(WasTold(R"("serial":"scratch")"));

  ASSERT_TRUE(devices_.DetachDisk("scratch", Soon()).ok());

  ExpectNothingLeft();
}

TEST_F(VmDevicesTest, AttachingTwiceIsAttachingOnce) {
  ASSERT_TRUE(devices_.AttachDisk(Disk("a"), Soon()).ok());
  ASSERT_TRUE(devices_.AttachDisk(Disk("a"), Soon()).ok());

  EXPECT_EQ(qemu_.devices().size(), 1u);
  EXPECT_EQ(qemu_.fd_sets().size(), 1u);
}

TEST_F(VmDevicesTest, DetachingNothingIsOk) {
  EXPECT_TRUE(devices_.DetachDisk("a", Soon()).ok());
  EXPECT_TRUE(devices_.DetachShare(Soon()).ok());
}

TEST_F(VmDevicesTest, SlotsRunOutWithAClearError) {
  for (int i = 0; i < 28; ++i) {
    ASSERT_TRUE(devices_.AttachDisk(Disk(absl::StrCat("d", i)), Soon()).ok());
  }

  EXPECT_TRUE(
      absl::IsResourceExhausted(devices_.AttachDisk(Disk("one-more"), Soon())));

  ASSERT_TRUE(devices_.DetachDisk("d7", Soon()).ok());
  EXPECT_TRUE(devices_.AttachDisk(Disk("one-more"), Soon()).ok());
}

TEST_F(VmDevicesTest, ARefusedDiskLeavesNothing) {
  qemu_.SetFaults({.device_add_refused = true});

  EXPECT_FALSE(devices_.AttachDisk(Disk("a"), Soon()).ok());
  EXPECT_FALSE(devices_.AttachShare(Socket(), "t", Soon()).ok());
  EXPECT_FALSE(devices_.AttachNic(Nic(), Soon()).ok());

  ExpectNothingLeft();
}

TEST_F(VmDevicesTest, AGuestMayKeepADiskAndTheFileStaysOpen) {
  ASSERT_TRUE(devices_.AttachDisk(Disk("a"), Soon()).ok());
  qemu_.SetFaults({.guest_ignores_unplug = true});

  EXPECT_TRUE(absl::IsDeadlineExceeded(devices_.DetachDisk("a", Soon())));
  EXPECT_EQ(qemu_.block_nodes().count("node-a"), 1u);

  qemu_.SetFaults({});
  EXPECT_TRUE(devices_.DetachDisk("a", Soon()).ok());
  ExpectNothingLeft();
}

// A daemon that dies between any two commands leaves something that the next
// one, with a new connection, gets rid of.
TEST_F(VmDevicesTest, AKilledDaemonsHalfDiskIsFinishedByTheNext) {
  for (int commands = 0; commands < 8; ++commands) {
    for (const bool effect : {false, true}) {
      qemu_.SetFaults({.commands_until_connection_lost = commands,
                       .last_command_takes_effect = effect});
      std::unique_ptr<QmpClient> first = qemu_.Connect();
      (void)VmDevices(first.get(), &clock_, 1).AttachDisk(Disk("a"), Soon());
      qemu_.SetFaults({});

      std::unique_ptr<QmpClient> second = qemu_.Connect();
      VmDevices devices(second.get(), &clock_, 1);
      ASSERT_TRUE(devices.AttachDisk(Disk("a"), Soon()).ok()) << commands;
      EXPECT_EQ(qemu_.devices().size(), 1u);
      EXPECT_EQ(qemu_.fd_sets().size(), 1u) << commands;
      ASSERT_TRUE(devices.DetachDisk("a", Soon()).ok());
      ExpectNothingLeft();
    }
  }
}

TEST_F(VmDevicesTest, AKilledDaemonsHalfRemovalIsFinishedByTheNext) {
  for (int commands = 0; commands < 8; ++commands) {
    for (const bool effect : {false, true}) {
      std::unique_ptr<QmpClient> second = qemu_.Connect();
      VmDevices devices(second.get(), &clock_, 1);
      ASSERT_TRUE(devices.AttachDisk(Disk("a"), Soon()).ok());
      std::unique_ptr<QmpClient> first = qemu_.Connect();
      qemu_.SetFaults({.commands_until_connection_lost = commands,
                       .last_command_takes_effect = effect});
      (void)VmDevices(first.get(), &clock_, 1).DetachDisk("a", Soon());
      qemu_.SetFaults({});

      std::unique_ptr<QmpClient> third = qemu_.Connect();
      ASSERT_TRUE(
          VmDevices(third.get(), &clock_, 1).DetachDisk("a", Soon()).ok())
          << commands;
      ExpectNothingLeft();
    }
  }
}

TEST_F(VmDevicesTest, TheShareIsThereOnce) {
  ASSERT_TRUE(devices_.AttachShare(Socket(), "pod", Soon()).ok());
  EXPECT_TRUE(Has("share"));
  EXPECT_TRUE(WasTold(R"("tag":"pod")"));

  EXPECT_TRUE(
      absl::IsAlreadyExists(devices_.AttachShare(Socket(), "pod", Soon())));

  ASSERT_TRUE(devices_.DetachShare(Soon()).ok());
  EXPECT_TRUE(devices_.AttachShare(Socket(), "pod", Soon()).ok());
}

TEST_F(VmDevicesTest, TheNicIsThereOnce) {
  ASSERT_TRUE(devices_.AttachNic(Nic(), Soon()).ok());
  EXPECT_TRUE(Has("nic"));
  EXPECT_TRUE(WasTold(R"("host_mtu":1450)"));

  EXPECT_TRUE(absl::IsAlreadyExists(devices_.AttachNic(Nic(), Soon())));
}

TEST_F(VmDevicesTest, OnlyGeneratedNamesReachQemu) {
  for (const char* bad : {"", "A", "a,b", "a\"b", "a/b"}) {
    EXPECT_TRUE(
        absl::IsInvalidArgument(devices_.AttachDisk(Disk(bad), Soon())));
    EXPECT_TRUE(absl::IsInvalidArgument(devices_.DetachDisk(bad, Soon())));
    EXPECT_TRUE(
        absl::IsInvalidArgument(devices_.AttachShare(Socket(), bad, Soon())));
    NicAttachment nic = Nic();
    nic.mac = bad;
    EXPECT_TRUE(absl::IsInvalidArgument(devices_.AttachNic(nic, Soon())));
  }
  NicAttachment nic = Nic();
  nic.mtu = 10;
  EXPECT_TRUE(absl::IsInvalidArgument(devices_.AttachNic(nic, Soon())));
  EXPECT_EQ(qemu_.commands(), std::vector<std::string>());
}

TEST_F(VmDevicesTest, ADeadQemuIsUnavailable) {
  qemu_.Die();

  EXPECT_TRUE(absl::IsUnavailable(devices_.AttachDisk(Disk("a"), Soon())));
  EXPECT_TRUE(absl::IsUnavailable(devices_.DetachDisk("a", Soon())));
}

}  // namespace
}  // namespace podvisor
