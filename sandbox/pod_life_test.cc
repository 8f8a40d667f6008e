// Pods whose guest or host does not do as it is told, on fake VMs.

#include <sys/wait.h>

#include <cerrno>

#include "gtest/gtest.h"
#include "sandbox/container_lifecycle.h"
#include "sandbox/pod_manager_fixture.h"

namespace podvisor {
namespace {

using PodLifeTest = PodManagerFixture;

TEST_F(PodLifeTest, AShareThatCannotBePluggedLeavesNoProcess) {
  const std::shared_ptr<Pod> pod = Run("share");
  QemuFaults refuses;
  refuses.device_add_refused = true;
  ContainerSpec spec = ContainerOf(1000, 64);
  spec.mounts.push_back({"/etc/hosts", "/etc/hosts"});
  Create(pod, ContainerOf(1000, 64));  // has the image's disk plugged
  launcher_.machine(pod->id())->qemu().SetFaults(refuses);
  spec.name = "shares";

  EXPECT_FALSE(pods_->CreateContainer(pod, spec, Soon()).ok());

  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

}  // namespace
}  // namespace podvisor
