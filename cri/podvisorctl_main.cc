// podvisorctl: the operator's tool. Each command is a ctl_*.h; this file picks
// one, and turns its status into an exit code: 0 done, 1 failed, 2 misused.

#include <unistd.h>

#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/ids.h"
#include "base/status_macros.h"
#include "cri/config.h"
#include "cri/cri_client.h"
#include "cri/ctl_args.h"
#include "cri/ctl_check.h"
#include "cri/ctl_logs.h"
#include "cri/ctl_plan.h"
#include "cri/ctl_rm.h"
#include "cri/ctl_run.h"
#include "cri/ctl_vms.h"
#include "cri/ctl_watch.h"
#include "cri/host_settings.h"
#include "cri/pause.h"
#include "cri/pod_manifest.h"
#include "cri/version.h"

namespace podvisor {
namespace {

constexpr size_t kMaxManifestBytes = 1 << 20;

// Only a default file may be missing.
absl::StatusOr<Config> ReadConfig(const CtlArgs& args) {
  if (!args.config.empty()) return LoadConfig(args.config);
  absl::StatusOr<Config> config = LoadConfig(kDefaultConfigPath);
  if (absl::IsNotFound(config.status())) return Config();
  return config;
}

absl::StatusOr<PodManifest> ReadManifest(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string yaml, ReadFile(path, kMaxManifestBytes));
  ASSIGN_OR_RETURN(PodManifest manifest, ParsePodManifest(yaml, path));
  for (const std::string& warning : manifest.warnings) {
    std::cerr << path << ": " << warning << "\n";
  }
  return manifest;
}

absl::Status Vms(const CtlArgs& args, const std::string& socket) {
  if (!args.watch) {
    ASSIGN_OR_RETURN(const std::string table, VmTable(*ConnectCri(socket)));
    std::cout << table;
    return absl::OkStatus();
  }
  // Before the client, which starts threads.
  ASSIGN_OR_RETURN(const std::unique_ptr<Pause> pause,
                   PauseUntilInterrupted(STDOUT_FILENO));
  SystemClock clock;
  return WatchVms(
      *ConnectCri(socket), clock, *pause,
      {.interval = args.interval, .terminal = isatty(STDOUT_FILENO) == 1},
      std::cout);
}

absl::Status Logs(const CtlArgs& args, const std::string& socket) {
  std::unique_ptr<Pause> pause;
  if (args.follow) {
    ASSIGN_OR_RETURN(pause, PauseUntilInterrupted(STDOUT_FILENO));
  }
  LogsRequest request;
  request.pod = args.operands[0];
  if (args.operands.size() > 1) request.container = args.operands[1];
  request.standard_output = {&std::cout, isatty(STDOUT_FILENO) == 1};
  request.standard_error = {&std::cerr, isatty(STDERR_FILENO) == 1};
  return PrintLogs(*ConnectCri(socket), request, pause.get());
}

absl::StatusOr<PodManifest> PlannedManifest(const CtlArgs& args) {
  if (!args.operands.empty()) return ReadManifest(args.operands[0]);
  PodManifest manifest;
  manifest.name = "plan";
  for (ManifestContainer container : args.containers) {
    container.name = absl::StrCat(manifest.containers.size() + 1);
    container.image = "none";
    manifest.containers.push_back(std::move(container));
  }
  return manifest;
}

absl::Status Plan(const CtlArgs& args, const Config& config,
                  const std::string& socket) {
  ASSIGN_OR_RETURN(const PodManifest manifest, PlannedManifest(args));
  if (!args.pod.empty()) {
    ASSIGN_OR_RETURN(PlannedPod pod,
                     PlanRunningPod(*ConnectCri(socket), args.pod));
    return PrintPlan(std::move(pod), manifest, std::cout);
  }
  ASSIGN_OR_RETURN(const HostSize host, MeasureHost());
  // Accelerator and version decide how vCPUs are removed: not of a new VM.
  ASSIGN_OR_RETURN(
      const PodSettings settings,
      PodSettingsFrom(config, host, Accelerator::kTcg, QemuVersion()));
  ASSIGN_OR_RETURN(PlannedPod pod, PlanNewPod(settings, manifest));
  return PrintPlan(std::move(pod), manifest, std::cout);
}

absl::Status Run(const CtlArgs& args, const Config& config,
                 const std::string& socket) {
  ASSIGN_OR_RETURN(const PodManifest manifest, ReadManifest(args.operands[0]));
  PodRequestOptions options;
  options.uid = RandomHexId().substr(0, 32);
  options.log_directory =
      args.log_directory.empty()
          ? PodLogDirectory(config.server.root_dir, options.uid)
          : args.log_directory;
  options.resolv_conf =
      ReadFile("/etc/resolv.conf", 64 << 10).value_or(std::string());
  return RunPodManifest(*ConnectCri(socket), manifest, options, std::cout);
}

absl::Status Dispatch(const CtlArgs& args) {
  if (args.command == "config" && args.print_default) {
    std::cout << DefaultConfigFile();
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const Config config, ReadConfig(args));
  const std::string socket =
      args.socket.empty() ? config.server.socket : args.socket;
  if (args.command == "config") {
    std::cout << EffectiveConfigToml(config);
    return absl::OkStatus();
  }
  if (args.command == "check") {
    if (PrintChecks(CheckHost(config, HostPaths()), std::cout)) {
      return absl::OkStatus();
    }
    return absl::FailedPreconditionError("this host is not able yet");
  }
  if (args.command == "vms") return Vms(args, socket);
  if (args.command == "plan") return Plan(args, config, socket);
  if (args.command == "logs") return Logs(args, socket);
  if (args.command == "console") {
    return PrintConsole(*ConnectCri(socket), args.operands[0], args.lines,
                        std::cout, std::cerr);
  }
  if (args.command == "rm") {
    return RemovePodAndLogs(*ConnectCri(socket), args.operands[0],
                            config.server.root_dir, std::cout);
  }
  return Run(args, config, socket);
}

int Main(const std::vector<std::string>& words) {
  const absl::StatusOr<CtlArgs> args = ParseCtlArgs(words);
  if (!args.ok()) {
    std::cerr << "podvisorctl: " << args.status().message() << "\n";
    return 2;
  }
  if (args->help) {
    std::cout << CtlHelp(args->command);
    return 0;
  }
  if (args->version) {
    std::cout << "podvisorctl " << kVersion << "\n";
    return 0;
  }
  const absl::Status status = Dispatch(*args);
  std::cout.flush();
  if (!status.ok()) {
    std::cerr << "podvisorctl: " << status.message() << "\n";
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace podvisor

int main(int argc, char** argv) {
  return podvisor::Main(std::vector<std::string>(argv + 1, argv + argc));
}
