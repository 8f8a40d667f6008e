// P1 and P7 of the goals: what podvisord adds to QEMU itself.
//
//   run_pod   RunPodSandbox / the same QEMU argv to the agent's hello
//   grow      UpdateContainerResources +3 vCPUs +1 GiB / the same QMP commands
//             until the guest has it
//
// Prints; asserts nothing about time.

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/process.h"
#include "bench/paired.h"
#include "e2e/test_node.h"
#include "guestagent/client/grpc_agent_client.h"
#include "hotplug/qmp_socket_client.h"

namespace podvisor::bench {
namespace {

using e2e::kMiB;
using e2e::TestNode;

absl::Time Soon() { return absl::Now() + absl::Seconds(120); }

UniqueFd ListenOn(const std::string& path) {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  unlink(path.c_str());
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) !=
          0 ||
      listen(fd.get(), 1) != 0) {
    perror(path.c_str());
    abort();
  }
  return fd;
}

// A QEMU with the argv of one of podvisord's, started by nothing but
// posix_spawn: the floor.
class RawBoot {
 public:
  RawBoot(const TestNode& node, std::vector<std::string> argv)
      : directory_(node.directory()) {
    const UniqueFd qmp = ListenOn(qmp_path());
    const UniqueFd agent = ListenOn(agent_path());
    const UniqueFd console(open((directory_ + "/raw.console").c_str(),
                                O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    SpawnOptions spawn;
    spawn.argv = std::move(argv);
    spawn.fds = {{qmp.get(), 3}, {agent.get(), 4}, {console.get(), 5}};
    process_ = Spawn(spawn).value();
    agent_ = std::make_unique<GrpcAgentClient>(
        agent_path(), AgentSecret::Random(), AgentClientOptions(), &clock_);
    const absl::Status up = agent_->Connect(Soon());
    if (!up.ok()) {
      fprintf(stderr, "raw boot: %s\n", up.ToString().c_str());
      abort();
    }
  }
  ~RawBoot() {
    agent_.reset();
    (void)KillGroup(process_, Soon());
  }

  GrpcAgentClient& agent() { return *agent_; }
  std::string qmp_path() const { return directory_ + "/raw.qmp"; }

 private:
  std::string agent_path() const { return directory_ + "/raw.agent"; }

  const std::string directory_;
  SystemClock clock_;
  ProcessIdentity process_;
  std::unique_ptr<GrpcAgentClient> agent_;
};

// The argv of the pod's QEMU, with the jail's paths made the host's.
std::vector<std::string> QemuArgv(TestNode& node, const std::string& pod) {
  const std::string raw =
      ReadFile(absl::StrCat("/proc/", node.PodInfo(pod, "/pid"), "/cmdline"))
          .value();
  const std::string config =
      ReadFile(node.directory() + "/podvisor.toml").value();
  const auto setting = [&](const std::string& key) {
    const size_t at = config.find(key + " = \"") + key.size() + 4;
    return config.substr(at, config.find('"', at) - at);
  };
  std::vector<std::string> argv = absl::StrSplit(raw, '\0');
  argv.pop_back();
  for (std::string& argument : argv) {
    if (argument == "/kernel") argument = setting("kernel");
    if (argument == "/initrd") argument = setting("initrd");
  }
  return argv;
}

absl::Duration Since(absl::Time start) { return absl::Now() - start; }

void Check(const absl::Status& status) {
  if (status.ok()) return;
  fprintf(stderr, "%s\n", status.ToString().c_str());
  abort();
}

// A guest that still loads its drivers, or starts its container's program, has
// less time for what is measured.
constexpr absl::Duration kIdleTime = absl::Seconds(4);

// +3 vCPUs, +1 GiB by QMP alone, until the guest has both.
absl::Duration RawGrow(RawBoot& vm) {
  Check(vm.agent().ConfigureSandbox({}, Soon()));
  absl::SleepFor(kIdleTime);
  const std::unique_ptr<QmpSocketClient> qmp =
      QmpSocketClient::Connect(vm.qmp_path(), Soon()).value();
  const GuestSize before = vm.agent().Observe(Soon()).value();
  const absl::Time start = absl::Now();
  Check(qmp->Execute("object-add",
                     R"({"qom-type":"memory-backend-memfd","id":"m",)"
                     R"("size":4294967296,"share":true,"reserve":false})",
                     Soon())
            .status());
  Check(qmp->Execute("device_add",
                     R"({"driver":"virtio-mem-pci","id":"vm","memdev":"m",)"
                     R"("requested-size":1073741824,"bus":"pb0","addr":"1"})",
                     Soon())
            .status());
  for (int socket = 1; socket <= 3; ++socket) {
    Check(qmp->Execute("device_add",
                       absl::StrCat(R"({"driver":"max-x86_64-cpu","id":"c)",
                                    socket, R"(","socket-id":)", socket,
                                    R"(,"core-id":0,"thread-id":0,)"
                                    R"("erms":false,"fsrm":false})"),
                       Soon())
              .status());
  }
  Check(vm.agent().SetOnlineCpus(4, Soon()).status());
  Check(vm.agent()
            .AwaitMemoryAtLeast(before.memory_total_bytes + 1024 * kMiB, Soon())
            .status());
  return Since(start);
}

void RunPodBench(TestNode& node, const std::vector<std::string>& argv,
                 int pairs) {
  int number = 0;
  const std::vector<Pair> measured = MeasurePairs(
      pairs, 2,
      [&] {
        const e2e::cri::PodSandboxConfig config =
            node.PodConfig(absl::StrCat("run-", number++));
        const absl::Time start = absl::Now();
        const std::string pod = node.RunPod(config);
        const absl::Duration took = Since(start);
        node.RemovePod(pod);
        return took;
      },
      [&] {
        const absl::Time start = absl::Now();
        const RawBoot vm(node, argv);
        return Since(start);
      });
  puts(Summary("P1 run_pod / rawboot", measured).c_str());
}

void GrowBench(TestNode& node, const std::vector<std::string>& argv,
               int pairs) {
  int number = 0;
  const std::vector<Pair> measured = MeasurePairs(
      pairs, 1,
      [&] {
        const e2e::cri::PodSandboxConfig config =
            node.PodConfig(absl::StrCat("grow-", number++));
        const std::string pod = node.RunPod(config);
        e2e::cri::ContainerConfig container =
            node.ContainerConfig("main", "sleep 1000");
        // Base 256 MiB holds 128 MiB and the overhead: the VM stays at base.
        *container.mutable_linux()->mutable_resources() =
            e2e::Resources(1000, 128);
        const std::string id = node.CreateContainer(pod, container, config);
        node.StartContainer(id);
        absl::SleepFor(kIdleTime);
        e2e::cri::UpdateContainerResourcesRequest request;
        request.set_container_id(id);
        *request.mutable_linux() = e2e::Resources(4000, 128 + 1024);
        e2e::cri::UpdateContainerResourcesResponse response;
        e2e::Call call;
        const absl::Time start = absl::Now();
        const grpc::Status status =
            node.runtime().UpdateContainerResources(&call, request, &response);
        const absl::Duration took = Since(start);
        if (!status.ok()) {
          fprintf(stderr, "update: %s\n", status.error_message().c_str());
        }
        node.RemovePod(pod);
        return took;
      },
      [&] {
        RawBoot vm(node, argv);
        return RawGrow(vm);
      });
  puts(Summary("P7 grow +3 vCPU +1 GiB / QMP", measured).c_str());
}

// "Pss:" of the daemon, in MiB.
double DaemonPss(const TestNode& node) {
  const std::string rollup =
      ReadFile(absl::StrCat("/proc/", node.daemon().pid, "/smaps_rollup"))
          .value();
  return atof(rollup.c_str() + rollup.find("Pss:") + 4) / 1024;
}

int Main(int argc, char** argv) {
  const int pairs = argc > 1 ? atoi(argv[1]) : 20;
  TestNode node;
  node.PullImage();
  printf("P9 daemon, no pod: PSS %.1f MiB\n", DaemonPss(node));
  const std::string pod = node.RunPod(node.PodConfig("argv"));
  const std::vector<std::string> qemu_argv = QemuArgv(node, pod);
  printf("P9 daemon, one pod: PSS %.1f MiB\n", DaemonPss(node));
  node.RemovePod(pod);
  fflush(stdout);
  RunPodBench(node, qemu_argv, pairs);
  fflush(stdout);
  GrowBench(node, qemu_argv, pairs / 2);
  return 0;
}

}  // namespace
}  // namespace podvisor::bench

int main(int argc, char** argv) { return podvisor::bench::Main(argc, argv); }
