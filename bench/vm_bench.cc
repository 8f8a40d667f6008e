// P1, P7 and P8 of the goals: what podvisord adds to QEMU itself.
//
//   run_pod   RunPodSandbox / the same QEMU argv to the agent's hello
//   grow      UpdateContainerResources +3 vCPUs and +1 or +8 GiB / the same QMP
//             commands until the guest has it
//   shrink    UpdateContainerResources -1 GiB until the status has it / the
//             same QMP command until the guest has
//
// vm_bench [PAIRS [NAME]]: of all, or of one of them. Prints; asserts nothing
// about time.

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
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

// A guest by QMP alone, once it is idle.
class RawGuest {
 public:
  RawGuest(const TestNode& node, const std::vector<std::string>& argv)
      : vm_(node, argv) {
    Check(vm_.agent().ConfigureSandbox({}, Soon()));
    absl::SleepFor(kIdleTime);
    qmp_ = QmpSocketClient::Connect(vm_.qmp_path(), Soon()).value();
    boot_bytes_ = vm_.agent().Observe(Soon()).value().memory_total_bytes;
  }

  // Until the guest has both.
  void Grow(int vcpus, int64_t bytes) {
    Execute("object-add",
            R"({"qom-type":"memory-backend-memfd","id":"m",)"
            R"("size":12616466432,"share":true,"reserve":false})");
    Execute("device_add",
            absl::StrCat(R"({"driver":"virtio-mem-pci","id":"vm",)"
                         R"("memdev":"m","bus":"pb0","addr":"1",)"
                         R"("requested-size":)",
                         bytes, "}"));
    for (int socket = 1; socket <= vcpus; ++socket) {
      Execute("device_add",
              absl::StrCat(R"({"driver":"max-x86_64-cpu","id":"c)", socket,
                           R"(","socket-id":)", socket,
                           R"(,"core-id":0,"thread-id":0,)"
                           R"("erms":false,"fsrm":false})"));
    }
    Check(vm_.agent().SetOnlineCpus(1 + vcpus, Soon()).status());
    Check(vm_.agent().AwaitMemoryAtLeast(boot_bytes_ + bytes, Soon()).status());
  }

  // Until the guest has no more of it.
  void TakeBack() {
    Execute("qom-set",
            R"({"path":"vm","property":"requested-size","value":0})");
    Check(vm_.agent().AwaitMemoryAtMost(boot_bytes_, Soon()).status());
  }

 private:
  void Execute(const char* command, const std::string& arguments) {
    Check(qmp_->Execute(command, arguments, Soon()).status());
  }

  RawBoot vm_;
  std::unique_ptr<QmpSocketClient> qmp_;
  int64_t boot_bytes_ = 0;
};

// A pod with one container, once it is idle. Base 256 MiB holds 128 MiB and the
// overhead: its VM stays at its base.
class IdlePod {
 public:
  IdlePod(TestNode& node, const std::string& name)
      : node_(node), pod_(node.RunPod(node.PodConfig(name))) {
    e2e::cri::ContainerConfig container =
        node.ContainerConfig("main", "sleep 1000");
    *container.mutable_linux()->mutable_resources() = e2e::Resources(1000, 128);
    container_ = node.CreateContainer(pod_, container, node.PodConfig(name));
    node.StartContainer(container_);
    absl::SleepFor(kIdleTime);
  }
  ~IdlePod() { node_.RemovePod(pod_); }

  void Update(int64_t milli_cpu, int64_t memory_mib) {
    e2e::cri::UpdateContainerResourcesRequest request;
    request.set_container_id(container_);
    *request.mutable_linux() = e2e::Resources(milli_cpu, memory_mib);
    e2e::cri::UpdateContainerResourcesResponse response;
    e2e::Call call;
    const grpc::Status status =
        node_.runtime().UpdateContainerResources(&call, request, &response);
    if (!status.ok()) {
      fprintf(stderr, "update: %s\n", status.error_message().c_str());
      abort();
    }
  }
  int64_t OnlineBytes() const {
    return node_.PodInfo(pod_, "/memoryBytes/online");
  }

 private:
  TestNode& node_;
  const std::string pod_;
  std::string container_;
};

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
               int64_t mib, int pairs) {
  int number = 0;
  const std::vector<Pair> measured = MeasurePairs(
      pairs, 1,
      [&] {
        IdlePod pod(node, absl::StrCat("grow-", mib, "-", number++));
        const absl::Time start = absl::Now();
        pod.Update(4000, 128 + mib);
        return Since(start);
      },
      [&] {
        RawGuest guest(node, argv);
        const absl::Time start = absl::Now();
        guest.Grow(3, mib * kMiB);
        return Since(start);
      });
  puts(Summary(absl::StrCat("P7 grow +3 vCPU +", mib / 1024, " GiB / QMP"),
               measured)
           .c_str());
  fflush(stdout);
}

void ShrinkBench(TestNode& node, const std::vector<std::string>& argv,
                 int pairs) {
  int number = 0;
  const std::vector<Pair> measured = MeasurePairs(
      pairs, 1,
      [&] {
        IdlePod pod(node, absl::StrCat("shrink-", number++));
        const int64_t base = pod.OnlineBytes();
        pod.Update(1000, 128 + 1024);
        absl::SleepFor(kIdleTime);
        const absl::Time start = absl::Now();
        pod.Update(1000, 128);
        while (pod.OnlineBytes() > base) {
        }
        return Since(start);
      },
      [&] {
        RawGuest guest(node, argv);
        guest.Grow(0, 1024 * kMiB);
        absl::SleepFor(kIdleTime);
        const absl::Time start = absl::Now();
        guest.TakeBack();
        return Since(start);
      });
  puts(Summary("P8 shrink -1 GiB / QMP", measured).c_str());
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
  // Room for a base and the 8 GiB by which one case grows.
  TestNode node({"s/^default_maxmemory.*/default_maxmemory = 12288/"});
  node.PullImage();
  printf("P9 daemon, no pod: PSS %.1f MiB\n", DaemonPss(node));
  const std::string pod = node.RunPod(node.PodConfig("argv"));
  const std::vector<std::string> qemu_argv = QemuArgv(node, pod);
  printf("P9 daemon, one pod: PSS %.1f MiB\n", DaemonPss(node));
  node.RemovePod(pod);
  fflush(stdout);
  const auto wanted = [&](const char* name) {
    return argc < 3 || name == std::string(argv[2]);
  };
  if (wanted("run_pod")) RunPodBench(node, qemu_argv, pairs);
  fflush(stdout);
  if (wanted("grow")) {
    GrowBench(node, qemu_argv, 1024, pairs / 2);
    GrowBench(node, qemu_argv, 8192, pairs / 2);
  }
  if (wanted("shrink")) ShrinkBench(node, qemu_argv, pairs / 2);
  return 0;
}

}  // namespace
}  // namespace podvisor::bench

int main(int argc, char** argv) { return podvisor::bench::Main(argc, argv); }
