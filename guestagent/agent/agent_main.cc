// podvisor-agent: PID 1 of a pod's VM. This file is the wiring; every part is
// built here and lives until the VM is switched off.

#include <malloc.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/synchronization/notification.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "grpcpp/grpcpp.h"
#include "grpcpp/server_posix.h"
#include "guestagent/agent/agent_service.h"
#include "guestagent/agent/child_reaper.h"
#include "guestagent/agent/clock_shift.h"
#include "guestagent/agent/guest_init.h"
#include "guestagent/agent/kernel_modules.h"
#include "guestagent/agent/port_pump.h"
#include "guestagent/agent/virtio_port.h"

namespace podvisor {
namespace {

constexpr char kPortName[] = "podvisor.agent";
constexpr absl::Duration kPortTimeout = absl::Seconds(10);
// The reply to PowerOff has this long to leave.
constexpr absl::Duration kLastWords = absl::Milliseconds(50);
constexpr size_t kMessageLimit = 4 << 20;

std::string KernelRelease() {
  utsname name = {};
  uname(&name);
  return name.release;
}

std::string RuntimeVersion() {
  const auto text = ReadFile("/etc/podvisor/runtime-version", 256);
  return text.ok() ? std::string(absl::StripAsciiWhitespace(*text)) : "unknown";
}

std::unique_ptr<grpc::Server> StartServer(AgentService* service) {
  grpc::ServerBuilder builder;
  builder.RegisterService(service);
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 2);
  builder.SetMaxReceiveMessageSize(kMessageLimit);
  grpc::ResourceQuota quota("agent");
  quota.Resize(64 << 20);
  quota.SetMaxThreads(1024);
  builder.SetResourceQuota(quota);
  // The host's pings are welcome at any pace; ours end the streams of a host
  // that hangs.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  builder.AddChannelArgument(
      GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 100);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
  return builder.BuildAndStart();
}

// Something that is told at least once, by any thread, and waited for.
class FirstTime {
 public:
  // Borrows this.
  std::function<void()> Teller() {
    return [this] {
      if (!told_.exchange(true)) happened_.Notify();
    };
  }
  void Await() const { happened_.WaitForNotification(); }

 private:
  std::atomic<bool> told_{false};
  absl::Notification happened_;
};

// The drivers of what every pod has load while the host plugs it. Those of what
// it may plug later take as long as all that it waits for until the pod is
// ready.
absl::Status LoadDrivers(KernelModules* modules, const FirstTime& greeted,
                         const FirstTime& configured) {
  greeted.Await();
  absl::Status status = modules->Load("virtio_blk");
  status.Update(modules->Load("virtio_net"));
  configured.Await();
  status.Update(modules->LoadAll());
  return status;
}

// What has to happen while there is one thread only.
absl::Status Prepare(SandboxNamespaces* namespaces, char* process_title) {
  RETURN_IF_ERROR(InitializeGuest());
  return namespaces->StartPause(process_title);
}

absl::Status Serve(SandboxNamespaces* namespaces) {
  ShiftGrpcClock();
  ASSIGN_OR_RETURN(const std::unique_ptr<KernelModules> modules,
                   KernelModules::FromDirectory(kModulesDir));
  RETURN_IF_ERROR(modules->LoadBootModules());

  MemoryView memory("/proc", "/sys");
  ASSIGN_OR_RETURN(const MemorySize memory_at_boot, memory.Observe());
  MemoryReclaim reclaim(&memory, kPodCgroup);
  CpuOnline cpus("/sys");
  DiskMount disks(kImagesDir, kScratchDir, modules.get());
  ShareMount share(kShareDir, modules.get());
  ChildReaper reaper;
  ContainerRuntime containers({.images_dir = kImagesDir,
                               .scratch_dir = kScratchDir,
                               .share_dir = kShareDir,
                               .run_dir = kRunDir},
                              namespaces, modules.get(), &reaper);

  FirstTime greeted;
  FirstTime configured;
  FirstTime power_off;
  AgentService service({
      .modules = modules.get(),
      .cpus = &cpus,
      .memory = &memory,
      .reclaim = &reclaim,
      .disks = &disks,
      .share = &share,
      .namespaces = namespaces,
      .containers = &containers,
      .kernel_release = KernelRelease(),
      .runtime_version = RuntimeVersion(),
      .memory_total_at_boot_bytes = memory_at_boot.total_bytes,
      .on_hello = greeted.Teller(),
      .on_configured = configured.Teller(),
      .on_power_off = power_off.Teller(),
  });

  const std::unique_ptr<grpc::Server> server = StartServer(&service);
  if (server == nullptr) return absl::InternalError("gRPC server");

  VirtioPort port(kPortName);
  PortPump pump({
      .open_port = [&] { return port.Open(kPortTimeout); },
      .rebind_port = [&] { return port.Rebind(); },
      .on_session =
          [&](UniqueFd session) {
            grpc::AddInsecureChannelFromFd(server.get(), session.Release());
          },
  });
  std::thread pump_thread([&] {
    const absl::Status status = pump.Run();
    Log(LogLevel::kError, "agent port", {{"error", status.message()}});
  });
  std::thread driver_thread([&] {
    const absl::Status status = LoadDrivers(modules.get(), greeted, configured);
    if (!status.ok()) {
      Log(LogLevel::kError, "drivers", {{"error", status.message()}});
    }
  });
  std::thread power_thread([&] {
    power_off.Await();
    absl::SleepFor(kLastWords);
    sync();
    reboot(RB_POWER_OFF);
  });
  reaper.Run();
}

int Main(char* process_title) {
  SetLogLevel(LogLevel::kWarning);
  // Many threads, little to allocate: arenas of their own would only cost.
  mallopt(M_ARENA_MAX, 2);
  SandboxNamespaces namespaces(kRunDir);
  absl::Status status = Prepare(&namespaces, process_title);
  if (status.ok()) status = Serve(&namespaces);
  Log(LogLevel::kError, "the guest cannot start",
      {{"error", status.message()}});
  return 1;  // The kernel panics and the VM ends: nothing hides it.
}

// The kernel runs this program as /sbin/modprobe when a container uses what is
// a module: a bridge, for one. Its own names, never a container's.
int Probe(int argc, char** argv) {
  const absl::StatusOr<std::string> name =
      ModuleToProbe({argv + 1, argv + argc});
  if (!name.ok()) return 1;
  const auto modules = KernelModules::FromDirectory(kModulesDir);
  return modules.ok() && (*modules)->Load(*name).ok() ? 0 : 1;
}

}  // namespace
}  // namespace podvisor

int main(int argc, char** argv) {
  if (getpid() != 1) {
    if (absl::EndsWith(argv[0], "/modprobe")) {
      return podvisor::Probe(argc, argv);
    }
    podvisor::Log(podvisor::LogLevel::kError,
                  "podvisor-agent is PID 1 of a virtual machine, not a program "
                  "to run elsewhere");
    return 2;
  }
  return podvisor::Main(argv[0]);
}
