#include "cri/host_settings.h"

#include <sys/sysinfo.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/clean_text.h"
#include "base/errno_status.h"
#include "base/log.h"
#include "base/process.h"
#include "base/status_macros.h"
#include "hotplug/vcpu_unplug.h"

namespace podvisor {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

VcpuUnplugSetting UnplugSetting(const std::string& text) {
  if (text == "device") return VcpuUnplugSetting::kDevice;
  if (text == "park") return VcpuUnplugSetting::kPark;
  return VcpuUnplugSetting::kAuto;
}

// Not a matter of taste: the pod would be lost with its next disk.
absl::Status CheckVcpuUnplug(VcpuUnplugSetting setting, const QemuVersion& qemu,
                             bool tcg) {
  if (setting != VcpuUnplugSetting::kDevice || BearsVcpuRemoval(qemu, tcg)) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "[hypervisor.qemu] vcpu_unplug = \"device\": QEMU ", qemu.major, ".",
      qemu.minor, ".", qemu.micro,
      " without hardware acceleration aborts at the first plug after the "
      "removal of a vCPU (fixed in 10.2); use \"auto\" or \"park\""));
}

// A base rounds up and a maximum down to what QEMU can do.
VmLimits LimitsFrom(const QemuConfig& config, const HostSize& host) {
  const int64_t most = config.default_maxmemory > 0
                           ? config.default_maxmemory * kMiB
                           : host.memory_bytes;
  VmLimits limits;
  limits.boot_vcpus = static_cast<int>(config.default_vcpus);
  limits.max_vcpus = static_cast<int>(config.default_maxvcpus > 0
                                          ? config.default_maxvcpus
                                          : std::min(host.cpus, kMostVcpus));
  limits.boot_memory_bytes = RoundUpToMemoryUnit(config.default_memory * kMiB);
  limits.max_memory_bytes = most - most % kMemoryUnitBytes;
  limits.memory_slots = static_cast<int>(config.memory_slots);
  if (config.memory_hotplug == "pc-dimm") {
    limits.memory_device = MemoryDevice::kPcDimm;
    limits.dimm_unplug = config.pc_dimm_unplug;
  }
  if (!config.enable_cpu_memory_hotplug)
    limits.memory_device = MemoryDevice::kNone;
  limits.max_vcpus = std::max(limits.max_vcpus, limits.boot_vcpus);
  limits.max_memory_bytes =
      std::max(limits.max_memory_bytes, limits.boot_memory_bytes);
  return limits;
}

}  // namespace

absl::StatusOr<HostSize> MeasureHost(const std::string& sys) {
  struct sysinfo info;
  if (sysinfo(&info) != 0) return ErrnoStatus(errno, "sysinfo");
  const std::string directory = sys + "/devices/system/cpu";
  HostSize host;
  ASSIGN_OR_RETURN(host.online_cpus, ReadCpuList(directory + "/online"));
  absl::StatusOr<CpuList> isolated = ReadCpuList(directory + "/isolated");
  if (absl::IsNotFound(isolated.status())) isolated.emplace();
  RETURN_IF_ERROR(isolated.status());
  const auto usable = absl::c_count_if(
      host.online_cpus, [&](int cpu) { return !isolated->contains(cpu); });
  host.cpus = std::max(1, static_cast<int>(usable));
  host.memory_bytes = static_cast<int64_t>(info.totalram) * info.mem_unit;
  return host;
}

absl::StatusOr<QemuVersion> ParseQemuVersion(absl::string_view text) {
  constexpr absl::string_view kBefore = "QEMU emulator version ";
  QemuVersion version;
  // At most 100 characters, so that a broken program cannot fill a message.
  const std::string line(text.substr(0, 100));
  if (!absl::StartsWith(line, kBefore) ||
      sscanf(line.c_str() + kBefore.size(), "%d.%d.%d", &version.major,
             &version.minor, &version.micro) < 2) {
    return absl::DataLossError(
        absl::StrCat("no version of QEMU: ", CleanText(line, 100)));
  }
  return version;
}

absl::StatusOr<QemuVersion> ProbeQemuVersion(const std::string& program) {
  CommandOptions command;
  command.argv = {program, "--version"};
  command.deadline = absl::Now() + absl::Seconds(20);
  const absl::StatusOr<CommandResult> result = RunCommand(command);
  const absl::StatusOr<QemuVersion> version =
      result.ok() ? ParseQemuVersion(result->stdout_data) : result.status();
  if (!version.ok()) {
    return absl::FailedPreconditionError(
        absl::StrCat(program, ": ", version.status().message()));
  }
  return version;
}

VmSpec ProbedVm(const Config& config) {
  VmSpec spec;
  spec.qemu = config.qemu.path;
  spec.kernel = config.qemu.kernel;
  spec.initrd = config.qemu.initrd;
  spec.kernel_params = config.qemu.kernel_params;
  return spec;
}

absl::StatusOr<PodSettings> PodSettingsFrom(const Config& config,
                                            const HostSize& host,
                                            Accelerator accelerator,
                                            const QemuVersion& qemu) {
  PodSettings settings;
  settings.root_dir = config.server.root_dir;
  settings.run_dir = config.server.run_dir;
  settings.virtiofsd = config.qemu.virtiofsd;
  settings.shrink_delay = config.qemu.shrink_delay;

  settings.limits = LimitsFrom(config.qemu, host);
  if (settings.limits.boot_vcpus > host.cpus ||
      settings.limits.boot_memory_bytes > host.memory_bytes) {
    Log(LogLevel::kWarning, "the base of every VM is larger than this host",
        {{"default_vcpus", absl::StrCat(settings.limits.boot_vcpus)},
         {"default_memory_bytes",
          absl::StrCat(settings.limits.boot_memory_bytes)},
         {"host_cpus", absl::StrCat(host.cpus)},
         {"host_memory_bytes", absl::StrCat(host.memory_bytes)}});
  }
  const VcpuUnplugSetting unplug = UnplugSetting(config.qemu.vcpu_unplug);
  const bool tcg = accelerator == Accelerator::kTcg;
  RETURN_IF_ERROR(CheckVcpuUnplug(unplug, qemu, tcg));
  settings.limits.vcpu_unplug = ChooseVcpuUnplug(unplug, qemu, tcg);
  RETURN_IF_ERROR(CheckVmLimits(settings.limits));

  settings.sizing.sizing =
      config.qemu.sizing == "additive" ? Sizing::kAdditive : Sizing::kShared;
  settings.sizing.base_milli_cpu = config.qemu.default_vcpus * 1000;
  settings.sizing.base_memory_bytes = config.qemu.default_memory * kMiB;
  settings.sizing.guest_overhead_memory_bytes =
      config.qemu.guest_overhead_memory * kMiB;
  settings.presize = config.qemu.presize;
  settings.accounting_guard = config.qemu.accounting_guard == "enforce"
                                  ? AccountingGuard::kEnforce
                                  : AccountingGuard::kWarn;

  settings.cpuset =
      config.qemu.cpuset == "guest" ? CpusetMode::kGuest : CpusetMode::kPin;
  settings.host_cpus = host.online_cpus;

  settings.vm.accelerator = accelerator;
  settings.vm.qemu = config.qemu.path;
  settings.vm.kernel = config.qemu.kernel;
  settings.vm.initrd = config.qemu.initrd;
  settings.vm.kernel_params = config.qemu.kernel_params;
  settings.vm.bridges = static_cast<int>(config.qemu.default_bridges);
  settings.vm.root_ports = static_cast<int>(config.qemu.default_root_ports);
  return settings;
}

}  // namespace podvisor
