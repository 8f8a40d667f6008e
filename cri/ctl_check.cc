#include "cri/ctl_check.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/clean_text.h"
#include "base/file.h"
#include "base/unique_fd.h"
#include "cri/host_settings.h"
#include "network/cni_config.h"
#include "sandbox/vm/accelerator_probe.h"

namespace podvisor {
namespace {

using Lines = std::vector<CheckLine>;

CheckLine Ok(absl::string_view what, absl::string_view found) {
  return {CheckResult::kOk, std::string(what), std::string(found), ""};
}

CheckLine Warn(absl::string_view what, absl::string_view found,
               absl::string_view advice) {
  return {CheckResult::kWarn, std::string(what), std::string(found),
          std::string(advice)};
}

CheckLine Fail(absl::string_view what, absl::string_view found,
               absl::string_view advice) {
  return {CheckResult::kFail, std::string(what), std::string(found),
          std::string(advice)};
}

bool IsRegularFile(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

bool IsProgram(const std::string& path) {
  return IsRegularFile(path) && access(path.c_str(), X_OK) == 0;
}

CheckLine CheckProgramAt(absl::string_view what, const std::string& path,
                         absl::string_view package, absl::string_view key) {
  if (IsProgram(path)) return Ok(what, path);
  return Fail(what, absl::StrCat(path, " is missing or cannot be run"),
              absl::StrCat("install the package ", package, " or set ", key));
}

CheckLine CheckProgram(const HostPaths& paths, absl::string_view name,
                       absl::string_view package) {
  for (const std::string& directory : paths.programs) {
    const std::string path = absl::StrCat(directory, "/", name);
    if (IsProgram(path)) return Ok(name, path);
  }
  return Fail(name, "not found", absl::StrCat("install the package ", package));
}

CheckLine CheckReadable(absl::string_view what, const std::string& path,
                        absl::string_view advice) {
  if (IsRegularFile(path) && access(path.c_str(), R_OK) == 0) {
    return Ok(what, path);
  }
  return Fail(what, absl::StrCat(path, " is missing or cannot be read"),
              advice);
}

// What keeps `device` from making a VM; empty when it made one.
std::string KvmProblem(const std::string& device) {
  const UniqueFd kvm(open(device.c_str(), O_RDWR | O_CLOEXEC));
  if (!kvm.valid()) return absl::StrCat(device, ": ", strerror(errno));
  if (ioctl(kvm.get(), KVM_GET_API_VERSION, 0) != KVM_API_VERSION) {
    return absl::StrCat(device, " is not the KVM device");
  }
  const UniqueFd vm(ioctl(kvm.get(), KVM_CREATE_VM, 0));
  return vm.valid() ? ""
                    : absl::StrCat(device, " makes no VM: ", strerror(errno));
}

CheckLine CheckTun(const HostPaths& paths) {
  const UniqueFd tun(open(paths.tun.c_str(), O_RDWR | O_CLOEXEC));
  if (tun.valid()) return Ok("tun", paths.tun);
  return Fail("tun", absl::StrCat(paths.tun, ": ", strerror(errno)),
              "modprobe tun; podvisord must run as root");
}

CheckLine CheckCgroups(const HostPaths& paths) {
  constexpr char kWhat[] = "cgroups";
  struct statfs info;
  if (statfs(paths.cgroup.c_str(), &info) != 0) {
    return Fail(kWhat, absl::StrCat(paths.cgroup, ": ", strerror(errno)),
                "mount the cgroup file systems");
  }
  if (info.f_type == CGROUP2_SUPER_MAGIC) {
    const auto controllers =
        ReadFile(absl::StrCat(paths.cgroup, "/cgroup.controllers"), 4096);
    const std::string text = controllers.value_or("");
    for (const absl::string_view needed : {"cpu", "memory", "io"}) {
      const std::vector<absl::string_view> have =
          absl::StrSplit(text, absl::ByAnyChar(" \n"), absl::SkipEmpty());
      if (std::find(have.begin(), have.end(), needed) == have.end()) {
        return Warn(kWhat, absl::StrCat("v2 without ", needed),
                    "limits of that kind are not enforced on the host");
      }
    }
    return Ok(kWhat, "v2 with cpu, memory and io");
  }
  std::vector<std::string> missing;
  for (const char* needed : {"cpu", "memory", "cpuset", "blkio"}) {
    struct stat controller;
    if (stat(absl::StrCat(paths.cgroup, "/", needed).c_str(), &controller) !=
        0) {
      missing.push_back(needed);
    }
  }
  if (missing.empty()) return Ok(kWhat, "v1 with cpu, memory, cpuset, blkio");
  if (missing.size() == 4) {
    return Fail(kWhat, absl::StrCat(paths.cgroup, " has no controllers"),
                "mount the cgroup file systems");
  }
  return Warn(kWhat, absl::StrCat("v1 without ", absl::StrJoin(missing, ", ")),
              "limits of that kind are not enforced on the host");
}

// Every plugin that the configuration names, not only some.
std::vector<CheckLine> CheckNetwork(const CniConfig& network) {
  constexpr char kConfig[] = "CNI configuration";
  constexpr char kPlugins[] = "CNI plugins";
  const absl::StatusOr<CniConfigList> config =
      LoadCniConfig(network.cni_conf_dir);
  if (!config.ok()) {
    return {Fail(kConfig, CleanText(config.status().message(), 512),
                 "pods cannot start; install a network plugin, or put a "
                 ".conflist there")};
  }
  std::vector<CheckLine> lines = {Ok(
      kConfig,
      absl::StrCat(network.cni_conf_dir, ": network \"", config->name, "\""))};
  for (const CniPlugin& plugin : config->plugins) {
    const absl::Status found =
        FindCniPlugin(network.cni_bin_dirs, plugin.type).status();
    if (found.ok()) continue;
    lines.push_back(
        Fail(kPlugins, found.message(),
             "install it, or the package containernetworking-plugins"));
    return lines;
  }
  lines.push_back(Ok(kPlugins, absl::StrJoin(network.cni_bin_dirs, ", ")));
  return lines;
}

CheckLine CheckRoot() {
  if (geteuid() == 0) return Ok("user", "root");
  return Warn("user", "not root",
              "podvisord needs root; some lines here may be wrong");
}

}  // namespace

CheckLine CheckAccelerator(const std::string& wanted,
                           const std::string& kvm_problem,
                           const std::optional<AcceleratorChoice>& known) {
  constexpr char kWhat[] = "accelerator";
  if (wanted == "tcg") return Ok(kWhat, "tcg, as configured");
  if (!kvm_problem.empty() && wanted == "kvm") {
    return Fail(kWhat, kvm_problem,
                "load the kvm module, or set accelerator = \"auto\"");
  }
  if (!kvm_problem.empty()) {
    return Warn(kWhat, kvm_problem,
                "VMs are emulated (TCG), several times slower; load the kvm "
                "module");
  }
  if (wanted == "kvm" || !known.has_value()) {
    return Ok(kWhat,
              "KVM makes VMs; podvisord tries a boot before it relies on it");
  }
  const std::string tried = absl::StrCat("podvisord tried: ", known->reason);
  if (known->accelerator == Accelerator::kKvm) return Ok(kWhat, tried);
  return Warn(kWhat, tried, "VMs are emulated (TCG), several times slower");
}

CheckLine CheckMemory(absl::string_view meminfo, int64_t vm_mib) {
  constexpr char kWhat[] = "free memory";
  int64_t available_kib = -1;
  for (const absl::string_view line : absl::StrSplit(meminfo, '\n')) {
    const std::vector<absl::string_view> words =
        absl::StrSplit(line, ' ', absl::SkipEmpty());
    if (words.size() >= 2 && words[0] == "MemAvailable:" &&
        !absl::SimpleAtoi(words[1], &available_kib)) {
      available_kib = -1;
    }
  }
  if (available_kib < 0) {
    return Warn(kWhat, "not known", "is /proc mounted?");
  }
  const int64_t available_mib = available_kib / 1024;
  const std::string found = absl::StrCat(available_mib, " MiB");
  if (available_mib < vm_mib) {
    return Warn(
        kWhat, found,
        absl::StrCat("less than one VM of default_memory (", vm_mib, " MiB)"));
  }
  return Ok(kWhat, absl::StrCat(found, ", for ", available_mib / vm_mib,
                                " VMs of default_memory"));
}

std::vector<CheckLine> CheckHost(const Config& config, const HostPaths& paths) {
  const QemuConfig& qemu = config.qemu;
  constexpr char kGuest[] = "install the guest image, or set hypervisor.qemu";
  Lines lines = {
      CheckRoot(),
      CheckProgramAt("qemu", qemu.path, "qemu-system-x86",
                     "hypervisor.qemu.path"),
      CheckProgramAt("virtiofsd", qemu.virtiofsd, "qemu-system-common",
                     "hypervisor.qemu.virtiofsd"),
      CheckReadable("guest kernel", qemu.kernel,
                    absl::StrCat(kGuest, ".kernel")),
      CheckReadable("guest initrd", qemu.initrd,
                    absl::StrCat(kGuest, ".initrd")),
      CheckAccelerator(
          qemu.accelerator, KvmProblem(paths.kvm),
          KnownAccelerator(config.server.run_dir, ProbedVm(config))),
      CheckTun(paths),
      CheckCgroups(paths),
      CheckProgram(paths, "skopeo", "skopeo"),
      CheckProgram(paths, "tar2sqfs", "squashfs-tools-ng"),
      CheckProgram(paths, "mkfs.ext4", "e2fsprogs"),
      CheckReadable("image policy", config.image.policy,
                    "install the package golang-github-containers-common"),
      CheckMemory(ReadFile(paths.meminfo, 64 << 10).value_or(""),
                  qemu.default_memory),
  };
  for (CheckLine& line : CheckNetwork(config.network)) {
    lines.push_back(std::move(line));
  }
  return lines;
}

bool PrintChecks(const std::vector<CheckLine>& lines, std::ostream& out) {
  bool able = true;
  for (const CheckLine& line : lines) {
    const char* result = line.result == CheckResult::kOk     ? "ok"
                         : line.result == CheckResult::kWarn ? "warn"
                                                             : "FAIL";
    out << absl::StreamFormat("%-5s %-18s %s%s%s\n", result, line.what,
                              line.found, line.advice.empty() ? "" : ": ",
                              line.advice);
    able = able && line.result != CheckResult::kFail;
  }
  return able;
}

}  // namespace podvisor
