// A pod with a user namespace, in one VM under TCG: who is who, whose the
// files and the namespaces are, and that everything else works as without.

#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "guestagent/agent/container_vm_fixture.h"

namespace podvisor {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

class UserNamespaceVmTest : public ContainerVmTest {
 protected:
  static void SetUpTestSuite() {
    ids_.set_host_id(1000);
    ids_.set_length(100000);
    sysctls_ = {{"kernel.shmmax", "123456789"},
                {"fs.mqueue.msg_max", "17"},
                {"net.ipv4.ip_local_port_range", "20000 30000"}};
    ContainerVmTest::SetUpTestSuite();
  }

  static std::string Trimmed(const std::string& text) {
    return std::string(absl::StripAsciiWhitespace(text));
  }
};

TEST_F(UserNamespaceVmTest, ContainerAndExecHaveTheMappingThatWasAskedFor) {
  const std::string kMap = "^ +0 +1000 +100000\n$";
  EXPECT_THAT(OutputOf(Spec({"cat", "/proc/self/uid_map"})),
              ContainsRegex(kMap));
  EXPECT_THAT(OutputOf(Spec({"cat", "/proc/self/gid_map"})),
              ContainsRegex(kMap));
  const std::string id = Run(Spec({"/bin/sleep", "1000"}));
  EXPECT_THAT(Exec(id, {"cat", "/proc/self/uid_map"}).out, ContainsRegex(kMap));
  EXPECT_EQ(Exec(id, {"sh", "-c", "id -u; id -g"}).out, "0\n0\n");
}

TEST_F(UserNamespaceVmTest, RootOfAnotherImageFileIsRootInTheContainer) {
  EXPECT_EQ(OutputOf(Shell("stat -c '%u %g %n' / /bin/busybox /etc/passwd")),
            "0 0 /\n0 0 /bin/busybox\n0 0 /etc/passwd\n");
  // Written, changed, given away and taken back, as without a namespace.
  EXPECT_EQ(OutputOf(Shell(R"sh(
set -e
echo more >>/etc/passwd
touch /new
stat -c '%u' /etc/passwd /new
)sh")),
            "0\n0\n");
}

TEST_F(UserNamespaceVmTest, OtherUsersAreThoseOfTheImage) {
  ContainerSpec spec = Shell("id; touch /tmp/mine; stat -c %u /tmp/mine");
  spec.mutable_user()->set_username("web");
  const std::string out = OutputOf(spec);
  EXPECT_THAT(out, HasSubstr("uid=1000"));
  EXPECT_THAT(out, HasSubstr("50"));
  EXPECT_THAT(out, HasSubstr("\n1000\n"));
}

TEST_F(UserNamespaceVmTest, AUserThatIsNotMappedIsRefusedByNumber) {
  ContainerSpec spec = Shell("true");
  spec.mutable_user()->set_uid(100000);
  agent::v1::CreateContainerResponse response;

  const grpc::Status status = Create(std::string(64, 'e'), spec, &response);

  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("100000"));
}

TEST_F(UserNamespaceVmTest, RootOfThePodIsNobodyInTheGuest) {
  // Without the read-only paths that a client usually asks for.
  EXPECT_EQ(OutputOf(Shell(R"sh(
for file in /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe \
    /proc/sysrq-trigger /proc/sys/vm/panic_on_oom; do
  (echo 1 >$file) 2>/dev/null && echo wrote $file
done
stat -c %u /proc/sys/kernel/core_pattern
)sh")),
            "65534\n");
}

TEST_F(UserNamespaceVmTest, WhatEveryContainerHasIsMounted) {
  const std::string mounts = OutputOf(Spec({"cat", "/proc/mounts"}));
  for (const char* mount :
       {" /proc proc ", "tmpfs /dev tmpfs ", "devpts /dev/pts devpts ",
        " /dev/mqueue mqueue ", "sysfs /sys sysfs ", "shm /dev/shm tmpfs "}) {
    EXPECT_THAT(mounts, HasSubstr(mount));
  }
  EXPECT_THAT(mounts, ContainsRegex("/sys/fs/cgroup cgroup2? "));
  EXPECT_EQ(OutputOf(Shell("echo x >/dev/null; head -c 1 /dev/zero | wc -c")),
            "1\n");
}

TEST_F(UserNamespaceVmTest, DevicesOfTheGuestOpenAsFarAsWasAllowed) {
  ContainerSpec spec = Shell(
      "(: <>/dev/fuse) && echo fuse; (: </dev/net/tun) && echo tun; "
      "(: >/dev/net/tun) 2>/dev/null || echo not for writing");
  AddDevice("/dev/fuse", "/dev/fuse", "rw", &spec);
  AddDevice("/dev/net/tun", "/dev/net/tun", "r", &spec);
  EXPECT_EQ(OutputOf(spec), "fuse\ntun\nnot for writing\n");
}

TEST_F(UserNamespaceVmTest, MaskedAndReadOnlyPathsAreThat) {
  ContainerSpec spec = Shell(
      "wc -c </proc/kallsyms; cat /proc/mounts | grep -c ' /proc/sys proc ro'; "
      "(echo 1 >/proc/sys/net/ipv4/conf/lo/route_localnet) 2>/dev/null || "
      "echo refused; (touch /x) 2>/dev/null || echo read-only");
  spec.add_masked_paths("/proc/kallsyms");
  spec.add_readonly_paths("/proc/sys");
  spec.mutable_capabilities()->add_add("CAP_NET_ADMIN");
  spec.mutable_root()->set_read_only(true);

  EXPECT_EQ(OutputOf(spec), "0\n1\nrefused\nread-only\n");
}

TEST_F(UserNamespaceVmTest, AContainerCanHaveProcessesOfItsOwn) {
  ContainerSpec spec = Shell("echo $$; exec sleep 1000");
  spec.set_pid_namespace(ContainerSpec::CONTAINER);
  const std::string id = Run(spec);
  EXPECT_EQ(ReadOutput(id, 0, 1).out, "1\n");

  ContainerSpec other = Shell("ps | grep -c 'sleep 100[0]'");
  other.set_pid_namespace(ContainerSpec::TARGET);
  other.set_pid_target(id);
  EXPECT_EQ(OutputOf(other), "1\n");
}

TEST_F(UserNamespaceVmTest, SharedMemoryAndFilesOfEtcBelongToRoot) {
  const std::string id = Run(Spec({"/bin/sleep", "1000"}));
  EXPECT_EQ(Exec(id, {"sh", "-c",
                      "echo hello >/dev/shm/x && echo 10.0.0.1 a >>/etc/hosts "
                      "&& stat -c %u /dev/shm /dev/shm/x /etc/hosts"})
                .out,
            "0\n0\n0\n");
  EXPECT_EQ(OutputOf(Shell("cat /dev/shm/x /etc/resolv.conf")),
            "hello\nnameserver 10.0.0.10\n");
}

TEST_F(UserNamespaceVmTest, ContainersShareThePodsNamespaces) {
  const std::string kShow =
      "cd /proc/self/ns; for n in user net ipc uts pid; do readlink $n; done; "
      "hostname";
  const std::string first = OutputOf(Shell(kShow));
  EXPECT_EQ(OutputOf(Shell(kShow)), first);
  EXPECT_THAT(first, HasSubstr("pod-1\n"));
  // The guest's own has another number: nothing of it is left.
  EXPECT_THAT(OutputOf(Shell("ls /sys/class/net; cat /proc/net/dev")),
              HasSubstr("lo"));
}

TEST_F(UserNamespaceVmTest, SysctlsAreSetInTheNamespacesThatBelongToIt) {
  EXPECT_EQ(OutputOf(Shell("cat /proc/sys/kernel/shmmax "
                           "/proc/sys/fs/mqueue/msg_max")),
            "123456789\n17\n");
  EXPECT_THAT(OutputOf(Shell("cat /proc/sys/net/ipv4/ip_local_port_range")),
              ContainsRegex("20000.30000"));
  EXPECT_EQ(OutputOf(Shell("cat /proc/sys/net/ipv4/ip_unprivileged_port_start"
                           " /proc/sys/net/ipv6/conf/all/accept_dad")),
            "0\n0\n");
}

TEST_F(UserNamespaceVmTest, ANetworkAdministratorAdministratesThePodsNetwork) {
  const std::string kWrite =
      "(echo 7 >/proc/sys/net/ipv4/conf/lo/route_localnet) 2>/dev/null && "
      "cat /proc/sys/net/ipv4/conf/lo/route_localnet || echo no";
  ContainerSpec spec = Shell(kWrite);
  EXPECT_EQ(OutputOf(spec), "no\n");
  spec.mutable_capabilities()->add_add("CAP_NET_ADMIN");
  EXPECT_EQ(OutputOf(spec), "7\n");
}

TEST_F(UserNamespaceVmTest, TerminalsWork) {
  const std::string id = Run(Spec({"/bin/sleep", "1000"}));
  const ExecResult result =
      Exec(id, {"sh", "-c", "tty; read line; stty size; stat -c %u $(tty)"},
           "x\n", true);
  EXPECT_EQ(result.exit_code, 0) << result.status.error_message();
  EXPECT_THAT(result.out, HasSubstr("/dev/pts/"));
  EXPECT_THAT(result.out, HasSubstr("40 100\r\n"));

  ContainerSpec spec = Shell("tty; id -u");
  spec.set_tty(true);
  const std::string with_terminal = Run(spec);
  EXPECT_THAT(ReadOutput(with_terminal).out, HasSubstr("/dev/pts/0\r\n0\r\n"));
}

TEST_F(UserNamespaceVmTest, APrivilegedContainerIsPrivilegedInItsNamespace) {
  ContainerSpec spec = Shell(
      "mount -t tmpfs none /tmp && echo mounted; "
      "(echo 1 >/proc/sys/kernel/core_pattern) 2>/dev/null || echo refused");
  spec.set_privileged(true);
  EXPECT_EQ(OutputOf(spec), "mounted\nrefused\n");
}

TEST_F(UserNamespaceVmTest, StatisticsAreThoseOfThePodsNetwork) {
  const std::string id = Run(Spec({"/bin/sleep", "1000"}));
  agent::v1::GetStatsResponse stats;

  ASSERT_TRUE(
      Call(&Agent::Stub::GetStats, agent::v1::GetStatsRequest(), &stats).ok());

  ASSERT_EQ(stats.containers_size(), 1);
  EXPECT_GT(stats.containers(0).memory_usage_bytes(), 0u);
  EXPECT_EQ(stats.containers(0).processes(), 1u);
}

TEST_F(UserNamespaceVmTest, APortOfThePodIsReached) {
  const std::string id =
      Run(Shell("busybox nc -l -p 8080 -e cat & "
                "while ! cat /proc/net/tcp* | grep -q ':1F90 '; do :; done; "
                "echo ready; wait"));
  ASSERT_EQ(ReadOutput(id, 0, 1).out, "ready\n");
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kCallTimeout);
  const auto stream = vm_->stub()->PortForward(&context);
  agent::v1::PortForwardInput input;
  input.set_port(8080);
  stream->Write(input);
  agent::v1::PortForwardOutput output;
  ASSERT_TRUE(stream->Read(&output));
  ASSERT_TRUE(output.connected()) << output.error();

  input.set_data("hello");
  stream->Write(input);

  ASSERT_TRUE(stream->Read(&output));
  EXPECT_EQ(output.data(), "hello");
  context.TryCancel();
  stream->Finish();
}

TEST_F(UserNamespaceVmTest, AnotherMappingComesTooLate) {
  agent::v1::ConfigureSandboxRequest request;
  request.mutable_user_namespace()->set_host_id(2000);
  request.mutable_user_namespace()->set_length(100000);
  agent::v1::ConfigureSandboxResponse response;

  EXPECT_EQ(
      Call(&Agent::Stub::ConfigureSandbox, request, &response).error_code(),
      grpc::StatusCode::FAILED_PRECONDITION);
}

TEST_F(UserNamespaceVmTest, AnImageIsUnmountedAndMountedAgain) {
  agent::v1::UnmountImageRequest unmount;
  unmount.set_image(kTrapImage);
  agent::v1::UnmountImageResponse unmounted;
  for (int i = 0; i < 2; ++i) {
    const grpc::Status status =
        Call(&Agent::Stub::UnmountImage, unmount, &unmounted);
    EXPECT_TRUE(status.ok()) << status.error_message();
  }
  // In use it stays.
  const std::string id = Run(Spec({"/bin/sleep", "1000"}));
  unmount.set_image(kImage);
  EXPECT_EQ(Call(&Agent::Stub::UnmountImage, unmount, &unmounted).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
  // And takes new containers again.
  MountImage("image", kImage);
  Run(Spec({"/bin/true"}));
  MountImage("trap", kTrapImage);
}

}  // namespace
}  // namespace podvisor
