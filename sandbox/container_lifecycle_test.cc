// Containers of a guest that answers late or not at all, on fake VMs.

#include "sandbox/container_lifecycle.h"

#include <set>
#include <string>

#include "gtest/gtest.h"
#include "sandbox/pod_manager_fixture.h"

namespace podvisor {
namespace {

using ContainerLifecycleTest = PodManagerFixture;

TEST_F(ContainerLifecycleTest, TheDiskThatTheGuestKeptIsDetachedLater) {
  const std::shared_ptr<Pod> pod = Run("keeps");
  FakeQemu& qemu = launcher_.machine(pod->id())->qemu();
  const std::set<std::string> before = qemu.block_nodes();
  const FoundContainer found = Create(pod, ContainerOf(1000, 64));
  QemuFaults keeps;
  keeps.guest_ignores_unplug = true;
  qemu.SetFaults(keeps);
  ASSERT_TRUE(pods_->RemoveContainer(found, Soon()).ok());
  Settle();
  EXPECT_NE(qemu.block_nodes(), before);

  qemu.SetFaults(QemuFaults());
  clock_.Advance(absl::Minutes(1));
  timers_.RunDue();

  EXPECT_EQ(qemu.block_nodes(), before);
}

TEST_F(ContainerLifecycleTest, AnImageWhoseDiskTheGuestKeptIsMountedAnew) {
  const std::shared_ptr<Pod> pod = Run("anew");
  FakeQemu& qemu = launcher_.machine(pod->id())->qemu();
  QemuFaults keeps;
  keeps.guest_ignores_unplug = true;
  const FoundContainer found = Create(pod, ContainerOf(1000, 64));
  qemu.SetFaults(keeps);
  ASSERT_TRUE(pods_->RemoveContainer(found, Soon()).ok());
  EXPECT_TRUE(Guest(pod).mounted_images().empty());

  // While the removal may still happen nothing is mounted on the disk.
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      pods_->CreateContainer(pod, ContainerOf(1000, 64), Soon()).status()));
  EXPECT_TRUE(Guest(pod).mounted_images().empty());

  qemu.SetFaults(QemuFaults());
  Create(pod, ContainerOf(1000, 64));
  EXPECT_EQ(Guest(pod).mounted_images().size(), 1);
}

}  // namespace
}  // namespace podvisor
