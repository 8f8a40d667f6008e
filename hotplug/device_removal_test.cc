#include "hotplug/device_removal.h"

#include <memory>
#include <string>

#include "base/clock.h"
#include "gtest/gtest.h"
#include "hotplug/fake_qemu.h"

namespace podvisor {
namespace {

class DeviceRemovalTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(qmp_->Execute("blockdev-add",
                              R"({"driver":"null-co","node-name":"n1"})",
                              absl::InfiniteFuture())
                    .ok());
    ASSERT_TRUE(qmp_->Execute("device_add",
                              R"({"driver":"virtio-blk-pci","drive":"n1",)"
                              R"("id":"disk1"})",
                              absl::InfiniteFuture())
                    .ok());
  }

  absl::Status Remove(const std::string& id) {
    return RemoveDevice(*qmp_, clock_, id, clock_.Now() + absl::Seconds(10));
  }

  FakeClock clock_;
  FakeQemu qemu_{{}, nullptr, &clock_};
  std::unique_ptr<QmpClient> qmp_ = qemu_.Connect();
};

TEST_F(DeviceRemovalTest, EndsWhenTheBackendIsFree) {
  ASSERT_TRUE(Remove("disk1").ok());

  EXPECT_TRUE(qemu_.devices().empty());
  EXPECT_TRUE(qmp_->Execute("blockdev-del", R"({"node-name":"n1"})",
                            absl::InfiniteFuture())
                  .ok());
}

TEST_F(DeviceRemovalTest, WhatIsNotThereIsRemoved) {
  EXPECT_TRUE(Remove("nosuch").ok());
}

TEST_F(DeviceRemovalTest, GuestMayKeepADeviceWhoseRemovalQemuAccepted) {
  qemu_.SetFaults({.guest_ignores_unplug = true});
  const absl::Time begin = clock_.Now();

  EXPECT_TRUE(absl::IsDeadlineExceeded(Remove("disk1")));
  EXPECT_EQ(clock_.Now() - begin, absl::Seconds(10));
  EXPECT_EQ(qemu_.devices().count("disk1"), 1u);
}

TEST_F(DeviceRemovalTest, ARefusalEndsTheWaitAtOnce) {
  qemu_.SetFaults({.guest_refuses_unplug = true});
  const absl::Time begin = clock_.Now();

  EXPECT_TRUE(absl::IsFailedPrecondition(Remove("disk1")));
  EXPECT_EQ(clock_.Now(), begin);
}

TEST_F(DeviceRemovalTest, ALostEventIsMadeGoodByLooking) {
  qemu_.SetFaults({.events_lost = true});

  EXPECT_TRUE(Remove("disk1").ok());
}

TEST_F(DeviceRemovalTest, AVcpuIsGoneWithTheEventOfItsLocalApic) {
  ASSERT_TRUE(qmp_->Execute("device_add",
                            R"({"driver":"qemu64-x86_64-cpu","id":"cpu1",)"
                            R"("socket-id":1,"core-id":0,"thread-id":0})",
                            absl::InfiniteFuture())
                  .ok());
  const absl::Time begin = clock_.Now();

  EXPECT_TRUE(
      RemoveVcpu(*qmp_, clock_, "cpu1", begin + absl::Seconds(10)).ok());
  EXPECT_EQ(clock_.Now(), begin);
  EXPECT_EQ(qemu_.vcpus(), 1);
}

TEST_F(DeviceRemovalTest, ADeadQemuIsUnavailable) {
  qemu_.SetFaults({.commands_until_death = 0});
  EXPECT_TRUE(absl::IsUnavailable(Remove("disk1")));

  EXPECT_TRUE(absl::IsUnavailable(Remove("disk1")));
}

TEST_F(DeviceRemovalTest, WhatQemuRejectsIsAWrongState) {
  ASSERT_TRUE(qmp_->Execute("object-add",
                            R"({"qom-type":"memory-backend-memfd",)"
                            R"("id":"m","size":4194304})",
                            absl::InfiniteFuture())
                  .ok());
  ASSERT_TRUE(qmp_->Execute("device_add",
                            R"({"driver":"virtio-mem-pci","memdev":"m",)"
                            R"("id":"mem"})",
                            absl::InfiniteFuture())
                  .ok());

  EXPECT_TRUE(absl::IsFailedPrecondition(Remove("mem")));
}

}  // namespace
}  // namespace podvisor
