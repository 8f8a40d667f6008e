// Containers in their real surroundings: crun, cgroups and overlays in one VM
// under TCG, driven over the agent channel. The image is a BusyBox.

#include <signal.h>

#include <algorithm>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/ids.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "guestagent/agent/container_vm_fixture.h"

namespace podvisor {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST_F(ContainerVmTest, OutputAndExitCodeArrive) {
  const std::string id = Run(Shell("echo to-out; echo to-err >&2; exit 3"));
  const Output output = ReadOutput(id);
  EXPECT_EQ(output.out, "to-out\n");
  EXPECT_EQ(output.err, "to-err\n");
  const ContainerExit exit = AwaitExit(id);
  EXPECT_EQ(exit.exit_code(), 3);
  EXPECT_FALSE(exit.oom_killed());
  EXPECT_LT(absl::AbsDuration(absl::Now() - absl::FromUnixNanos(
                                                exit.finished_at_unix_nanos())),
            absl::Minutes(1));
}

TEST_F(ContainerVmTest, SandboxIsSharedAndFilesAreThePods) {
  EXPECT_EQ(
      OutputOf(Shell("hostname; cat /etc/hostname /etc/resolv.conf; "
                     "head -n 1 /etc/hosts; stat -f -c %T /dev/shm /dev; "
                     "ls /dev/vport* /dev/mem /dev/kmsg 2>/dev/null; true")),
      "pod-1\npod-1\nnameserver 10.0.0.10\n127.0.0.1\tlocalhost\n"
      "tmpfs\ntmpfs\n");
  EXPECT_EQ(OutputOf(Shell("ls /tmp | wc -l; touch /dev/shm/x")), "0\n");
  EXPECT_EQ(OutputOf(Shell("ls /dev/shm; readlink /proc/self/cwd")), "x\n/\n");
}

TEST_F(ContainerVmTest, UserOfTheImageRunsTheProcess) {
  ContainerSpec spec = Shell(
      "id -u; id -g; id -G; echo $HOME; grep -E 'Cap(Inh|Prm|Eff|Amb)' "
      "/proc/self/status; echo hello >/dev/stderr");
  spec.mutable_user()->set_username("web");
  spec.mutable_user()->add_supplemental_groups(77);
  const std::string id = RandomHexId();
  agent::v1::CreateContainerResponse response;
  ASSERT_TRUE(Create(id, spec, &response).ok());
  EXPECT_EQ(response.uid(), 1000);
  EXPECT_THAT(response.supplemental_groups(), ElementsAre(1000, 50, 77));
  ASSERT_TRUE(Start(id).ok());
  const Output output = ReadOutput(id);
  EXPECT_EQ(output.out,
            "1000\n1000\n1000 50 77\n/srv\n"
            "CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\n"
            "CapEff:\t0000000000000000\nCapAmb:\t0000000000000000\n");
  EXPECT_EQ(output.err, "hello\n");
}

TEST_F(ContainerVmTest, PidNamespacesAreThoseAskedFor) {
  const std::string first = Run(Spec({"/bin/sleep", "1000"}));
  EXPECT_THAT(OutputOf(Shell("ps -o pid,args")), HasSubstr("sleep 1000"));
  ContainerSpec own = Shell("echo $$; ps -o args");
  own.set_pid_namespace(ContainerSpec::CONTAINER);
  const std::string seen = OutputOf(own);
  EXPECT_TRUE(absl::StartsWith(seen, "1\n")) << seen;
  EXPECT_FALSE(absl::StrContains(seen, "sleep")) << seen;
  own = Spec({"/bin/sleep", "2000"});
  own.set_pid_namespace(ContainerSpec::CONTAINER);
  const std::string target = Run(own);
  ContainerSpec joined = Shell("ps -o pid,args");
  joined.set_pid_namespace(ContainerSpec::TARGET);
  joined.set_pid_target(target);
  const std::string joined_sees = OutputOf(joined);
  EXPECT_THAT(joined_sees, HasSubstr("1 /bin/sleep 2000"));
  EXPECT_FALSE(absl::StrContains(joined_sees, "sleep 1000"));
  EXPECT_TRUE(Signal(first, SIGKILL, false).ok());
  EXPECT_EQ(AwaitExit(first).exit_code(), 137);
}

TEST_F(ContainerVmTest, ExitEndsTheOtherProcessesOfTheContainer) {
  const std::string id = Run(Shell("sleep 3000 & exit 0"));
  EXPECT_EQ(AwaitExit(id).exit_code(), 0);
  ReadOutput(id);  // ends, because the sleep that held the pipe was killed
}

TEST_F(ContainerVmTest, ReconnectsLoseNoOutput) {
  const std::string id = Run(Shell("seq 1 200000"));
  std::string text;
  for (int round = 0; round < 5; ++round) {
    text += ReadOutput(id, text.size(), 3).out;
  }
  text += ReadOutput(id, text.size()).out;
  std::string expected;
  for (int i = 1; i <= 200000; ++i) absl::StrAppend(&expected, i, "\n");
  EXPECT_TRUE(text == expected) << text.size() << " of " << expected.size();
}

TEST_F(ContainerVmTest, LimitsAreSetAndChanged) {
  ContainerSpec spec = Spec({"/bin/sleep", "1000"});
  spec.mutable_resources()->set_cpu_quota_micros(50000);
  spec.mutable_resources()->set_cpu_period_micros(100000);
  spec.mutable_resources()->set_cpu_shares(512);
  spec.mutable_resources()->set_memory_limit_bytes(32 << 20);
  spec.mutable_resources()->set_pids_limit(100);
  const std::string id = Run(spec);
  const std::vector<std::string> show = {
      "sh", "-c",
      "cd /sys/fs/cgroup; cat cpu.max cpu.weight memory.max pids.max"};
  EXPECT_EQ(Exec(id, show).out, "50000 100000\n20\n33554432\n100\n");
  agent::v1::UpdateContainerRequest update;
  update.set_container_id(id);
  update.mutable_resources()->set_cpu_quota_micros(20000);
  update.mutable_resources()->set_memory_limit_bytes(64 << 20);
  agent::v1::UpdateContainerResponse response;
  const absl::Time begin = absl::Now();
  EXPECT_TRUE(Call(&Agent::Stub::UpdateContainer, update, &response).ok());
  std::cerr << "update " << absl::Now() - begin << "\n";
  EXPECT_EQ(Exec(id, show).out, "20000 100000\n20\n67108864\n100\n");
  agent::v1::ReadCgroupRequest read;
  read.set_container_id(id);
  read.add_files("memory.high");
  const auto has = [&] {
    agent::v1::ReadCgroupResponse cgroup;
    const grpc::Status status = Call(&Agent::Stub::ReadCgroup, read, &cgroup);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return cgroup;
  };
  EXPECT_EQ(has().resources().cpu_quota_micros(), 20000);
  EXPECT_EQ(has().resources().cpu_period_micros(), 100000);
  EXPECT_EQ(has().cpu_weight(), 20);
  EXPECT_EQ(has().resources().memory_limit_bytes(), 67108864);
  EXPECT_EQ(has().resources().unified().at("memory.high"), "max");
  update.mutable_resources()->set_memory_limit_bytes(4096);
  EXPECT_EQ(Call(&Agent::Stub::UpdateContainer, update, &response).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(has().resources().memory_limit_bytes(), 67108864);
  read.set_container_id(std::string(64, 'f'));
  agent::v1::ReadCgroupResponse nothing;
  EXPECT_EQ(Call(&Agent::Stub::ReadCgroup, read, &nothing).error_code(),
            grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(Exec(id, {"true"}).exit_code, 0);
}

TEST_F(ContainerVmTest, OutOfMemoryIsTold) {
  for (int round = 0; round < 5; ++round) {
    ContainerSpec spec = Shell("tail /dev/zero");
    spec.mutable_resources()->set_memory_limit_bytes(16 << 20);
    const std::string id = Run(spec);
    const ContainerExit exit = AwaitExit(id);
    EXPECT_EQ(exit.exit_code(), 137) << ReadOutput(id).err;
    EXPECT_TRUE(exit.oom_killed());
  }
}

TEST_F(ContainerVmTest, RestrictionsHold) {
  ContainerSpec spec = Shell(
      "touch /x 2>&1; touch /cache/x; ls /sys/firmware | wc -l; "
      "stty 2>&1; "
      "grep -E 'NoNewPrivs|Seccomp:' /proc/self/status; ulimit -n; "
      "echo 1 2>&1 >/proc/sys/kernel/hostname; hostname other 2>&1; "
      "mount -t tmpfs x /tmp 2>&1; stat -c %s /cache/x");
  spec.mutable_root()->set_read_only(true);
  spec.set_no_new_privileges(true);
  spec.add_masked_paths("/sys/firmware");
  spec.add_readonly_paths("/proc/sys");
  agent::v1::Mount* mount = spec.add_mounts();
  mount->set_kind(agent::v1::Mount::TMPFS);
  mount->set_destination("/cache");
  mount->set_size_bytes(1 << 20);
  agent::v1::Rlimit* rlimit = spec.add_rlimits();
  rlimit->set_type("RLIMIT_NOFILE");
  rlimit->set_soft(99);
  rlimit->set_hard(100);
  spec.set_seccomp_profile(
      R"({"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64"],
          "syscalls":[{"names":["sethostname"],"action":"SCMP_ACT_ERRNO",
                       "errnoRet":28}]})");
  const std::string text = OutputOf(spec);
  EXPECT_THAT(text, HasSubstr("touch: /x: Read-only file system\n0\n"));
  EXPECT_THAT(text, HasSubstr("NoNewPrivs:\t1\nSeccomp:\t2\n99\n"));
  EXPECT_THAT(text, HasSubstr("can't create /proc/sys/kernel/hostname"));
  // The error that only the profile gives.
  EXPECT_THAT(text, HasSubstr("No space left on device"));
  EXPECT_THAT(text, HasSubstr("mount: permission denied"));
  EXPECT_TRUE(absl::EndsWith(text, "\n0\n")) << text;
}

// What is there, and what of it opens.
constexpr char kTryDevices[] = R"sh(
for device in $DEVICES; do
  test -c $device || echo no $device
  (: <$device) 2>/dev/null && echo reads $device
  (: >$device) 2>/dev/null && echo writes $device
done
true
)sh";

TEST_F(ContainerVmTest, DevicesOfTheGuestOpenAsFarAsWasAllowed) {
  ContainerSpec spec = Shell(kTryDevices);
  spec.add_env(
      "DEVICES=/dev/fuse /dev/net/tun /any/place /dev/null /dev/random");
  spec.mutable_user()->set_uid(1000);
  AddDevice("/dev/fuse", "/dev/fuse", "r", &spec);
  AddDevice("/dev/net/tun", "/dev/net/tun", "rwm", &spec);
  AddDevice("/dev/zero", "/any/place", "rw", &spec);
  AddDevice("/dev/null", "/dev/null", "rw", &spec);
  EXPECT_EQ(OutputOf(spec),
            "reads /dev/fuse\nreads /dev/net/tun\nwrites /dev/net/tun\n"
            "reads /any/place\nwrites /any/place\n"
            "reads /dev/null\nwrites /dev/null\n"
            "reads /dev/random\nwrites /dev/random\n");
  // Nor has another container what this one had.
  spec.clear_mounts();
  spec.clear_env();
  spec.add_env("DEVICES=/dev/fuse /dev/net/tun");
  EXPECT_EQ(OutputOf(spec), "no /dev/fuse\nno /dev/net/tun\n");
}

TEST_F(ContainerVmTest, ADeviceThatTheGuestDoesNotHaveIsRefusedByName) {
  for (const char* source : {"/dev/none", "/dev/vda"}) {
    ContainerSpec spec = Shell("true");
    AddDevice(source, "/dev/x", "rwm", &spec);
    agent::v1::CreateContainerResponse response;
    const grpc::Status status = Create(RandomHexId(), spec, &response);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
    EXPECT_THAT(status.error_message(), HasSubstr(source));
  }
}

TEST_F(ContainerVmTest, ContainersComeAndGoSideBySide) {
  std::vector<std::string> ids;
  for (int i = 0; i < 12; ++i) ids.push_back(RandomHexId());
  created_.insert(ids.begin(), ids.end());
  std::vector<std::thread> threads;
  for (int worker = 0; worker < 4; ++worker) {
    threads.emplace_back([worker, &ids] {
      for (size_t i = worker; i < ids.size(); i += 4) {
        agent::v1::CreateContainerRequest request;
        request.set_container_id(ids[i]);
        *request.mutable_spec() = Shell(absl::StrCat("echo ", i, "; exit ", i));
        agent::v1::CreateContainerResponse response;
        const grpc::Status status =
            Call(&Agent::Stub::CreateContainer, request, &response);
        EXPECT_TRUE(status.ok()) << status.error_message();
        EXPECT_TRUE(Start(ids[i]).ok());
        EXPECT_EQ(AwaitExit(ids[i]).exit_code(), static_cast<int>(i));
        EXPECT_EQ(ReadOutput(ids[i]).out, absl::StrCat(i, "\n"));
        EXPECT_TRUE(Delete(ids[i]).ok());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(ContainerVmTest, AMissingProgramFailsTheStartAndNotTheCreate) {
  const std::string id = RandomHexId();
  agent::v1::CreateContainerResponse response;
  ASSERT_TRUE(Create(id, Spec({"/nope"}), &response).ok());

  const grpc::Status status = Start(id);

  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_NE(status.error_message().find("/nope"), std::string::npos)
      << status.error_message();
  EXPECT_EQ(ReadOutput(id).out, "");
  EXPECT_TRUE(Delete(id).ok());
  EXPECT_TRUE(Create(id, Spec({"/bin/true"}), &response).ok());
  EXPECT_TRUE(Start(id).ok());
  EXPECT_EQ(AwaitExit(id).exit_code(), 0);
  EXPECT_TRUE(Delete(id).ok());
}

TEST_F(ContainerVmTest, FailedCreateLeavesNothing) {
  const std::string id = RandomHexId();
  agent::v1::CreateContainerResponse response;
  ContainerSpec spec = Spec({"/bin/true"});
  spec.mutable_user()->set_username("4294967296");
  EXPECT_EQ(Create(id, spec, &response).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  spec.mutable_user()->clear_username();
  spec.mutable_root()->set_image(std::string(64, '0'));
  EXPECT_EQ(Create(id, spec, &response).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
  ContainerSpec look = Shell("ls /sys/fs/cgroup/pod");
  look.set_privileged(true);
  EXPECT_FALSE(absl::StrContains(OutputOf(look), id));
  EXPECT_TRUE(Create(id, Spec({"/bin/true"}), &response).ok());
}

TEST_F(ContainerVmTest, ImageWhoseDevIsALinkIsRefused) {
  // CVE-2026-41579: nothing may be made where the link leads.
  ContainerSpec spec = Spec({"/bin/true"});
  spec.mutable_root()->set_image(kTrapImage);
  agent::v1::CreateContainerResponse response;
  EXPECT_FALSE(Create(RandomHexId(), spec, &response).ok());
}

TEST_F(ContainerVmTest, ListAndStatesFollowTheLifecycle) {
  const std::string id = RandomHexId();
  const auto state = [&id] {
    agent::v1::ListContainersResponse response;
    EXPECT_TRUE(Call(&Agent::Stub::ListContainers,
                     agent::v1::ListContainersRequest(), &response)
                    .ok());
    for (const ContainerState& container : response.containers()) {
      if (container.container_id() == id) return container.state();
    }
    return ContainerState::STATE_UNSPECIFIED;
  };
  agent::v1::CreateContainerResponse created;
  ASSERT_TRUE(Create(id, Spec({"/bin/sleep", "1000"}), &created).ok());
  EXPECT_EQ(state(), ContainerState::CREATED);
  EXPECT_EQ(Create(id, Spec({"/bin/true"}), &created).error_code(),
            grpc::StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(Exec(id, {"true"}).status.error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
  ASSERT_TRUE(Start(id).ok());
  EXPECT_EQ(state(), ContainerState::RUNNING);
  EXPECT_EQ(Start(id).error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_TRUE(Signal(id, SIGTERM, false).ok());
  EXPECT_EQ(AwaitExit(id).exit_code(), 128 + SIGTERM);
  EXPECT_EQ(state(), ContainerState::EXITED);
  EXPECT_TRUE(Signal(id, SIGTERM, false).ok());
  const absl::Time begin = absl::Now();
  EXPECT_TRUE(Delete(id).ok());
  std::cerr << "delete " << absl::Now() - begin << "\n";
  EXPECT_TRUE(Delete(id).ok());
  EXPECT_EQ(state(), ContainerState::STATE_UNSPECIFIED);
  EXPECT_EQ(Signal(id, SIGTERM, false).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST_F(ContainerVmTest, CreatedContainerCanBeDeleted) {
  const std::string id = RandomHexId();
  agent::v1::CreateContainerResponse created;
  ASSERT_TRUE(Create(id, Spec({"/bin/sleep", "1000"}), &created).ok());
  EXPECT_TRUE(Delete(id).ok());
}

TEST_F(ContainerVmTest, StatsCountTheContainer) {
  ContainerSpec spec = Shell(
      "dd if=/dev/zero of=/data bs=1M count=3 2>/dev/null; touch /a; "
      "dd if=/dev/zero of=/etc/hosts bs=1M count=2 2>/dev/null; "
      "sync; echo ready; exec sleep 1000");
  spec.mutable_resources()->set_cpu_quota_micros(50'000);
  spec.mutable_resources()->set_cpu_period_micros(100'000);
  const std::string id = Run(spec);
  EXPECT_EQ(ReadOutput(id, 0, 1).out, "ready\n");
  agent::v1::GetStatsResponse response;
  std::vector<absl::Duration> times;
  while (times.size() < 21) {
    const absl::Time begin = absl::Now();
    ASSERT_TRUE(
        Call(&Agent::Stub::GetStats, agent::v1::GetStatsRequest(), &response)
            .ok());
    times.push_back(absl::Now() - begin);
  }
  std::sort(times.begin(), times.end());
  std::cerr << "stats " << times[0] << ", median " << times[10] << "\n";
  EXPECT_GT(response.cpu_usage_nanos(), 0u);
  ASSERT_EQ(response.containers_size(), 1);
  const agent::v1::ContainerStats& stats = response.containers(0);
  EXPECT_EQ(stats.container_id(), id);
  EXPECT_GT(stats.cpu_usage_nanos(), 0u);
  EXPECT_GT(stats.memory_usage_bytes(), 0u);
  EXPECT_LE(stats.memory_working_set_bytes(), stats.memory_usage_bytes());
  EXPECT_EQ(stats.memory_limit_bytes(), 0u);
  EXPECT_EQ(stats.pids(), 1u);
  // With the files that are bound into it (CVE-2020-8557).
  EXPECT_GE(stats.writable_layer_bytes(), 5u << 20);
  EXPECT_GE(stats.writable_layer_inodes(), 2u);

  EXPECT_GT(stats.cpu_user_nanos() + stats.cpu_system_nanos(), 0u);
  EXPECT_GT(stats.cpu_periods(), 0u);
  EXPECT_TRUE(stats.has_cpu_throttled_periods());
  EXPECT_TRUE(stats.has_cpu_throttled_nanos());
  EXPECT_EQ(stats.cpu_quota_micros(), 50'000u);
  EXPECT_EQ(stats.cpu_period_micros(), 100'000u);
  EXPECT_GE(stats.memory_cache_bytes(), 3u << 20);
  EXPECT_TRUE(stats.has_memory_mapped_file_bytes());
  EXPECT_GT(stats.memory_kernel_bytes(), 0u);
  EXPECT_GE(stats.memory_peak_bytes(), stats.memory_usage_bytes());
  EXPECT_TRUE(stats.has_memory_swap_bytes());
  EXPECT_TRUE(stats.has_memory_limit_hits());
  EXPECT_TRUE(stats.has_oom_kills());
  EXPECT_EQ(stats.processes(), 1u);
  EXPECT_GE(stats.file_descriptors(), 2u);  // its output
  EXPECT_TRUE(stats.has_sockets());
  EXPECT_GT(stats.max_open_files(), 0u);
  EXPECT_TRUE(stats.has_cpu_pressure());
  EXPECT_TRUE(stats.has_memory_pressure());
  EXPECT_TRUE(stats.has_io_pressure());
  ASSERT_GE(stats.block_devices_size(), 1);
  uint64_t written = 0;
  for (const auto& device : stats.block_devices()) {
    EXPECT_THAT(device.name(), testing::StartsWith("vd"));
    written += device.written_bytes();
  }
  EXPECT_GE(written, 3u << 20);
  EXPECT_THAT(response.scratch().device(), testing::StartsWith("vd"));
  EXPECT_GT(response.scratch().bytes(), 3u << 20);
  EXPECT_GT(response.scratch().inodes(), response.scratch().free_inodes());
}

TEST_F(ContainerVmTest, AFloodOfOpenFilesDoesNotHoldStatsUp) {
  ContainerSpec spec = Shell(
      "tail -f $(yes /dev/null | head -n 5000) >/dev/null 2>&1 & "
      // ls complains of descriptors that are closed while it looks.
      "while [ $(ls /proc/$!/fd 2>/dev/null | wc -l) -lt 5000 ]; do :; done; "
      "echo ready; wait");
  agent::v1::Rlimit* rlimit = spec.add_rlimits();
  rlimit->set_type("RLIMIT_NOFILE");
  rlimit->set_soft(6000);
  rlimit->set_hard(6000);
  const std::string id = Run(spec);
  ASSERT_EQ(ReadOutput(id, 0, 1).out, "ready\n");
  agent::v1::GetStatsResponse response;
  const absl::Time begin = absl::Now();
  ASSERT_TRUE(
      Call(&Agent::Stub::GetStats, agent::v1::GetStatsRequest(), &response)
          .ok());
  std::cerr << "stats of a flood " << absl::Now() - begin << "\n";
  ASSERT_EQ(response.containers_size(), 1);
  EXPECT_GE(response.containers(0).processes(), 1u);
  EXPECT_FALSE(response.containers(0).has_file_descriptors());
  EXPECT_FALSE(response.containers(0).has_sockets());
  EXPECT_EQ(response.containers(0).max_open_files(), 6000u);
}

TEST_F(ContainerVmTest, PrivilegedContainerCannotOpenTheAgentsPort) {
  ContainerSpec spec = Shell(
      "ls /dev/vda /dev/vdb; p=$(readlink /sys/class/virtio-ports/*/dev); "
      "IFS=: read major minor </sys/class/virtio-ports/vport0p1/dev; "
      "/bin/busybox mknod /port c $major $minor; cat /port 2>&1; true");
  spec.set_privileged(true);
  const std::string text = OutputOf(spec);
  EXPECT_THAT(text, HasSubstr("/dev/vda\n/dev/vdb\n"));
  EXPECT_THAT(text, HasSubstr("Operation not permitted"));
}

}  // namespace
}  // namespace podvisor
