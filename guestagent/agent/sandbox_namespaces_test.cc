#include "guestagent/agent/sandbox_namespaces.h"

#include <string>

#include "gtest/gtest.h"

namespace podvisor {
namespace {

TEST(SandboxNamespacesTest, SysctlsOfThePodHaveAPath) {
  EXPECT_EQ(*SysctlPath("net.core.somaxconn"), "/proc/sys/net/core/somaxconn");
  EXPECT_EQ(*SysctlPath("kernel.shmmax"), "/proc/sys/kernel/shmmax");
  EXPECT_EQ(*SysctlPath("kernel/shm_rmid_forced"),
            "/proc/sys/kernel/shm_rmid_forced");
  EXPECT_EQ(*SysctlPath("kernel.sem"), "/proc/sys/kernel/sem");
  EXPECT_EQ(*SysctlPath("fs.mqueue.msg_max"), "/proc/sys/fs/mqueue/msg_max");
  // The first separator says what a dot or a slash after it means.
  EXPECT_EQ(*SysctlPath("net/ipv4/conf/eth0.100/forwarding"),
            "/proc/sys/net/ipv4/conf/eth0.100/forwarding");
  EXPECT_EQ(*SysctlPath("net.ipv4.conf.eth0/100.forwarding"),
            "/proc/sys/net/ipv4/conf/eth0.100/forwarding");
}

TEST(SandboxNamespacesTest, SysctlsOfTheGuestAndPathsAreRefused) {
  for (const char* name :
       {"", ".", "vm.swappiness", "kernel.hostname", "kernel.semx", "kernel",
        "net.", "net..core", "net/../vm/swappiness", "net.core\n", "/net/core",
        "fs.file-max", "kernel.panic", "net.ipv4./.x"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(SysctlPath(name).status())) << name;
  }
}

TEST(SandboxNamespacesTest, IsNotThereBeforeItIsConfigured) {
  SandboxNamespaces namespaces("/nonexistent");
  EXPECT_TRUE(absl::IsFailedPrecondition(namespaces.View().status()));
}

TEST(SandboxNamespacesTest, ImpossibleSettingsLeaveItUnconfigured) {
  SandboxNamespaces namespaces("/nonexistent");
  SandboxSettings settings{
      .hostname = "a b", .sysctls = {}, .resolv_conf = "", .shm_bytes = 0};
  EXPECT_TRUE(absl::IsInvalidArgument(namespaces.Configure(settings)));
  settings.hostname = std::string(65, 'a');
  EXPECT_TRUE(absl::IsInvalidArgument(namespaces.Configure(settings)));
  settings.hostname = "a";
  settings.shm_bytes = -1;
  EXPECT_TRUE(absl::IsInvalidArgument(namespaces.Configure(settings)));
  settings.shm_bytes = 0;
  settings.sysctls = {{"vm.swappiness", "1"}};
  EXPECT_TRUE(absl::IsInvalidArgument(namespaces.Configure(settings)));
  settings.sysctls = {{"net.core.somaxconn", ""}};
  EXPECT_TRUE(absl::IsInvalidArgument(namespaces.Configure(settings)));

  EXPECT_TRUE(absl::IsFailedPrecondition(namespaces.View().status()));
}

}  // namespace
}  // namespace podvisor
