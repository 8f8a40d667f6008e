// podvisord: the wiring diagram. Everything is built here, in the order in
// which it depends on one another, and handed over by constructor.

#include <signal.h>

#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/timer_queue.h"
#include "cri/config.h"
#include "cri/host_settings.h"
#include "cri/image_service.h"
#include "cri/node_health.h"
#include "cri/request_counter.h"
#include "cri/runtime_service.h"
#include "cri/seccomp_profile.h"
#include "cri/streaming/stream_server.h"
#include "cri/streaming_calls.h"
#include "cri/unix_listener.h"
#include "cri/version.h"
#include "grpc/grpc.h"
#include "grpcpp/server_builder.h"
#include "grpcpp/server_posix.h"
#include "image/local_image_store.h"
#include "metrics/metrics_server.h"
#include "network/cni_network.h"
#include "network/stray_plugins.h"
#include "sandbox/host/cgroup_mounts.h"
#include "sandbox/host/host_cgroups.h"
#include "sandbox/parts/pod_event_feed.h"
#include "sandbox/pod/pod_manager.h"
#include "sandbox/record/root_lock.h"
#include "sandbox/vm/accelerator_probe.h"
#include "sandbox/vm/boot_gate.h"
#include "sandbox/vm/host_tsc.h"
#include "sandbox/vm/process_watcher.h"
#include "sandbox/vm/qemu_launcher.h"
#include "volume/scratch_disk.h"

namespace podvisor {
namespace {

constexpr char kUsage[] =
    "podvisord: a Kubernetes CRI server that runs every pod as a QEMU virtual "
    "machine\n\n"
    "  podvisord [--config FILE]\n\n"
    "  --config FILE   configuration (default /etc/podvisor/podvisor.toml)\n"
    "  --version       print the version\n"
    "  --help          this text\n";

// For killed plugins of an earlier daemon to be gone.
constexpr absl::Duration kStrayTime = absl::Seconds(5);
// How long pods of an earlier daemon may take to answer.
constexpr absl::Duration kRecoveryTime = absl::Seconds(30);
// How long calls that are under way may take at the end.
constexpr absl::Duration kShutdownTime = absl::Seconds(5);
// Larger than any request or reply of kubelet, whose own limit this is.
constexpr int kMaxMessageBytes = 16 << 20;
// Threads for settling and sampling of all pods, and, apart from them, for
// clearing away those whose VM has ended: a network may be slow to let one go.
constexpr int kTimerThreads = 4;
constexpr int kCleanUpThreads = 2;
// One for each of the node's healths, and none of the pods': guests that hang
// must not make the node look broken.
constexpr int kHealthThreads = 2;

LogLevel LevelFrom(const std::string& name) {
  if (name == "debug") return LogLevel::kDebug;
  if (name == "warning") return LogLevel::kWarning;
  if (name == "error") return LogLevel::kError;
  return LogLevel::kInfo;
}

// The signals that end the daemon, blocked in this and all later threads.
// gRPC's are to be later ones: one of them would take the signal, and the
// process would die of it.
sigset_t BlockEndSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  // A client or a helper that goes away is an error of a write, not our end.
  signal(SIGPIPE, SIG_IGN);
  return signals;
}

// Serves whoever is handed to it: UnixListener accepts them.
absl::StatusOr<std::unique_ptr<grpc::Server>> StartServer(
    RuntimeService* runtime, ImageService* images,
    std::unique_ptr<RequestCounter> counter) {
  grpc::ServerBuilder builder;
  builder.RegisterService(runtime);
  builder.RegisterService(images);
  std::vector<
      std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>>
      interceptors;
  interceptors.push_back(std::move(counter));
  builder.experimental().SetInterceptorCreators(std::move(interceptors));
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.SetMaxSendMessageSize(kMaxMessageBytes);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return absl::InternalError("gRPC starts no server");
  return server;
}

// A machine that can boot the guest with KVM does; the probe boots one.
absl::StatusOr<AcceleratorChoice> ChooseAccelerator(const Config& config,
                                                    Clock* clock,
                                                    BootGate* gate,
                                                    ProcessWatcher* watcher) {
  QemuLauncherOptions once;
  once.max_attempts = 1;
  QemuLauncher launcher(clock, gate, watcher, once);
  AcceleratorProbe probe(&launcher, clock, config.server.run_dir);
  return probe.Choose(config.qemu.accelerator, ProbedVm(config));
}

// `tsc` is as old as the daemon.
absl::StatusOr<PodSettings> SettingsHere(const Config& config,
                                         Accelerator accelerator,
                                         const QemuVersion& qemu,
                                         const HostTsc& tsc) {
  ASSIGN_OR_RETURN(const HostSize host, MeasureHost());
  ASSIGN_OR_RETURN(PodSettings settings,
                   PodSettingsFrom(config, host, accelerator, qemu));
  settings.vm.tsc_khz = tsc.Khz();
  return settings;
}

const char* NameOf(Accelerator accelerator) {
  return accelerator == Accelerator::kKvm ? "kvm" : "tcg";
}

std::string TextOf(const QemuVersion& version) {
  return absl::StrCat(version.major, ".", version.minor, ".", version.micro);
}

LocalImageStoreOptions ImageOptions(const Config& config) {
  LocalImageStoreOptions options;
  options.root_directory = config.server.root_dir + "/images";
  options.skopeo.registries_conf = config.image.registries_conf;
  options.skopeo.policy = config.image.policy;
  return options;
}

absl::StatusOr<std::unique_ptr<HttpServer>> ServeMetrics(
    const Config& config, PodMetrics* metrics,
    const std::shared_ptr<NodeHealth>& health, Clock* clock) {
  MetricsServerOptions options;
  options.address = config.server.metrics_address;
  const auto healthy = [health] {
    const NodeHealth::Verdict verdict = health->verdict();
    return verdict.reason.empty() ? absl::OkStatus()
                                  : absl::UnavailableError(absl::StrCat(
                                        verdict.reason, ": ", verdict.message));
  };
  return StartMetricsServer(options, metrics, healthy, clock);
}

RuntimeFacts FactsOf(const Config& config,
                     const AcceleratorChoice& accelerator) {
  RuntimeFacts facts;
  facts.version = kVersion;
  facts.root_directory = config.server.root_dir;
  facts.systemd_cgroups = config.server.cgroup_driver == "systemd";
  facts.config_toml = EffectiveConfigToml(config);
  facts.accelerator = NameOf(accelerator.accelerator);
  facts.accelerator_reason = accelerator.reason;
  facts.seccomp_default = ReadDefaultSeccomp(kDefaultSeccompPath);
  if (!facts.seccomp_default.ok()) {
    Log(LogLevel::kWarning,
        "containers that want seccomp RuntimeDefault will be refused",
        {{"reason", facts.seccomp_default.status().message()}});
  }
  return facts;
}

// Answers the clients on the socket until a signal ends the daemon.
absl::Status ServeCri(const Config& config, const RuntimeParts& parts,
                      const RuntimeFacts& facts, ImageService* images,
                      PodMetrics* metrics, absl::string_view metrics_address,
                      const sigset_t& end_signals) {
  RuntimeService runtime(parts, facts);
  ASSIGN_OR_RETURN(
      const std::unique_ptr<grpc::Server> server,
      StartServer(&runtime, images,
                  std::make_unique<RequestCounter>(metrics, parts.clock)));
  // A socket of an earlier daemon: RootLock says that none is running.
  ASSIGN_OR_RETURN(
      std::unique_ptr<UnixListener> listener,
      UnixListener::Listen(config.server.socket, [&](UniqueFd client) {
        grpc::AddInsecureChannelFromFd(server.get(), client.Release());
      }));
  Log(LogLevel::kInfo, "podvisord is ready",
      {{"socket", config.server.socket},
       {"metrics_address", metrics_address},
       {"streaming_address", parts.streams->address()},
       {"accelerator", facts.accelerator},
       {"accelerator_reason", facts.accelerator_reason},
       {"version", kVersion}});

  int received = 0;
  sigwait(&end_signals, &received);
  Log(LogLevel::kInfo, "podvisord ends; its pods go on",
      {{"signal", received == SIGINT ? "SIGINT" : "SIGTERM"}});
  parts.events->Close();
  listener.reset();
  server->Shutdown(absl::ToChronoTime(parts.clock->Now() + kShutdownTime));
  server->Wait();
  return absl::OkStatus();
}

// Plugins that an earlier daemon did not see the end of.
void EndStrays(const std::string& network_namespaces, absl::Time deadline) {
  const absl::Status ended = EndStrayPlugins(network_namespaces, deadline);
  if (!ended.ok()) Log(LogLevel::kWarning, ended.message());
}

std::vector<NodeCheck> NetworkChecks(CniNetwork* network) {
  return {{"NetworkPluginNotReady", [network] { return network->Ready(); }}};
}

absl::Status Serve(const Config& config) {
  const sigset_t end_signals = BlockEndSignals();
  // Never balanced: gRPC's own shutdown, after the last of its objects, may
  // wait for ten seconds, and the process ends anyway.
  grpc_init();
  SystemClock clock;
  const HostTsc tsc;
  RETURN_IF_ERROR(MakeDirectories(config.server.run_dir, 0711));
  ASSIGN_OR_RETURN(const RootLock lock,
                   RootLock::Acquire(config.server.root_dir));
  ASSIGN_OR_RETURN(const std::unique_ptr<StateStore> store,
                   StateStore::Open(config.server.root_dir));

  Log(LogLevel::kInfo,
      "looking for the best accelerator (15 s where KVM hangs)");
  ASSIGN_OR_RETURN(const QemuVersion qemu_version,
                   ProbeQemuVersion(config.qemu.path));
  // What the threads of the watcher and of the timers use outlives them.
  PodMetrics metrics;
  PodEventFeed events;
  ASSIGN_OR_RETURN(const std::string mounts, ReadFile("/proc/self/mountinfo"));
  HostCgroups cgroups(ParseCgroupMounts(mounts), &clock);
  const std::string network_namespaces = config.server.run_dir + "/netns";
  CniNetwork network({network_namespaces, config.network.cni_conf_dir,
                      config.network.cni_bin_dirs},
                     &clock);
  BootGate gate(static_cast<int>(config.qemu.max_parallel_boots));
  ASSIGN_OR_RETURN(const std::unique_ptr<ProcessWatcher> watcher,
                   ProcessWatcher::Create());
  ASSIGN_OR_RETURN(const AcceleratorChoice accelerator,
                   ChooseAccelerator(config, &clock, &gate, watcher.get()));
  ASSIGN_OR_RETURN(
      const PodSettings settings,
      SettingsHere(config, accelerator.accelerator, qemu_version, tsc));

  ASSIGN_OR_RETURN(const std::unique_ptr<LocalImageStore> images,
                   LocalImageStore::Create(ImageOptions(config), &clock));

  metrics.SetDaemonInfo(
      {kVersion, NameOf(accelerator.accelerator), TextOf(qemu_version)});
  ScratchDisks scratch_disks(config.server.root_dir, settings.scratch_bytes);
  QemuLauncher launcher(&clock, &gate, watcher.get());
  TimerQueue timers(clock, kTimerThreads);
  TimerQueue clean_ups(clock, kCleanUpThreads);
  TimerQueue checks(clock, kHealthThreads);
  EndStrays(network_namespaces, clock.Now() + kStrayTime);

  PodServices services;
  services.vm = {&clock,   &launcher, watcher.get(), &scratch_disks,
                 &metrics, &settings, &cgroups,      &network};
  services.store = store.get();
  services.images = images.get();
  services.timers = &timers;
  services.clean_ups = &clean_ups;
  services.events = &events;
  PodManager pods(services);
  // Before the pods and all that they use: the end of a VM is told to them.
  const absl::Cleanup deaf = [&watcher] { watcher->Stop(); };
  RETURN_IF_ERROR(pods.Recover(clock.Now() + kRecoveryTime));

  const std::shared_ptr<NodeHealth> health =
      NodeHealth::Start(NodeChecks(store.get(), settings.vm), &checks, &clock);
  const std::shared_ptr<NodeHealth> network_health =
      NodeHealth::Start(NetworkChecks(&network), &checks, &clock);
  ASSIGN_OR_RETURN(const std::unique_ptr<HttpServer> metrics_server,
                   ServeMetrics(config, &metrics, health, &clock));

  PodStreams pod_streams(&pods);
  ASSIGN_OR_RETURN(
      const std::unique_ptr<StreamServer> streams,
      StreamServer::Start({.address = config.server.streaming_address},
                          &pod_streams, &clock));
  ImageService image_service(*images, scratch_disks, config.server.root_dir,
                             clock);
  return ServeCri(config,
                  {&pods, health.get(), network_health.get(), &events,
                   streams.get(), &clock},
                  FactsOf(config, accelerator), &image_service, &metrics,
                  metrics_server->address(), end_signals);
}

int Main(int argc, char** argv) {
  std::string path = kDefaultConfigPath;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--help" || argument == "-h") {
      fputs(kUsage, stdout);
      return 0;
    }
    if (argument == "--version") {
      printf("podvisord %s\n", kVersion);
      return 0;
    }
    if (argument == "--config" && i + 1 < argc) {
      path = argv[++i];
      continue;
    }
    fprintf(stderr, "podvisord: unknown argument \"%s\"\n\n%s",
            argument.c_str(), kUsage);
    return 2;
  }
  const absl::StatusOr<Config> config = LoadConfig(path);
  if (!config.ok()) {
    fprintf(stderr, "podvisord: %s\n",
            std::string(config.status().message()).c_str());
    return 2;
  }
  SetLogLevel(LevelFrom(config->server.log_level));
  const absl::Status served = Serve(*config);
  if (!served.ok()) {
    Log(LogLevel::kError, "podvisord cannot go on",
        {{"error", served.message()}});
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace podvisor

int main(int argc, char** argv) { return podvisor::Main(argc, argv); }
