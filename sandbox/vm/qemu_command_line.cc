#include "sandbox/vm/qemu_command_line.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace podvisor {
namespace {

// Each of these saves boot time or keeps a small guest from panicking.
constexpr char kKernelParameters[] =
    "quiet loglevel=1 panic=-1 "
    // Without it 1 TCG boot in 45 dies of "IO-APIC + timer doesn't work".
    "no_timer_check "
    // The 64 MiB bounce buffer is no use to virtio, and a panic for 128 MiB.
    "swiotlb=noforce "
    "tsc=reliable noreplace-smp rcupdate.rcu_expedited=1 cryptomgr.notests "
    "i8042.noaux i8042.nomux i8042.nopnp i8042.dumbkbd i8042.noprobe "
    "random.trust_cpu=on audit=0 "
    // New memory comes online by itself, in the zone it can leave again.
    "memhp_default_state=online_movable "
    "console=ttyS0 8250.nr_uarts=1";

constexpr int64_t kMebibyte = int64_t{1} << 20;
constexpr int kMaxSlots = 256;
constexpr int kMaxBridges = 8;
constexpr int kMaxRootPorts = 16;
constexpr size_t kMaxKernelCommandLine = 2047;

absl::Status CheckSpec(const VmSpec& spec) {
  const auto invalid = [](absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat("VM: ", what));
  };
  if (!IsHexId(spec.id.value())) return invalid("id is not a pod's");
  if (spec.boot_vcpus < 1 || spec.max_vcpus < spec.boot_vcpus ||
      spec.max_vcpus > kMostVcpus) {
    return invalid(absl::StrCat("vCPUs ", spec.boot_vcpus, " to ",
                                spec.max_vcpus, " are not within 1 to ",
                                kMostVcpus));
  }
  if (spec.boot_memory_bytes < 64 * kMebibyte ||
      spec.boot_memory_bytes % kMemoryUnitBytes != 0 ||
      spec.max_memory_bytes < spec.boot_memory_bytes ||
      spec.max_memory_bytes % kMemoryUnitBytes != 0) {
    return invalid(absl::StrCat(
        "memory ", spec.boot_memory_bytes, " to ", spec.max_memory_bytes,
        " bytes: at least 64 MiB, in multiples of 2 MiB"));
  }
  if (spec.memory_slots < 0 || spec.memory_slots > kMaxSlots) {
    return invalid(absl::StrCat("memory_slots ", spec.memory_slots));
  }
  if (spec.bridges < 1 || spec.bridges > kMaxBridges) {
    return invalid(absl::StrCat("bridges ", spec.bridges));
  }
  if (spec.root_ports < 0 || spec.root_ports > kMaxRootPorts) {
    return invalid(absl::StrCat("root_ports ", spec.root_ports));
  }
  if (!std::all_of(spec.kernel_params.begin(), spec.kernel_params.end(),
                   [](unsigned char c) { return absl::ascii_isprint(c); })) {
    return invalid("kernel_params has unprintable characters");
  }
  if (KernelCommandLine(spec).size() > kMaxKernelCommandLine) {
    return invalid("kernel_params is too long");
  }
  return absl::OkStatus();
}

std::string MemoryOption(const VmSpec& spec) {
  std::string option = absl::StrCat("size=", spec.boot_memory_bytes, "B");
  if (spec.max_memory_bytes > spec.boot_memory_bytes) {
    absl::StrAppend(&option, ",slots=", spec.memory_slots,
                    ",maxmem=", spec.max_memory_bytes, "B");
  }
  return option;
}

void AppendMachine(const VmSpec& spec, std::vector<std::string>& argv) {
  const bool kvm = spec.accelerator == Accelerator::kKvm;
  argv.insert(
      argv.end(),
      {"-machine", "q35,memory-backend=ram,mem-merge=off,dump-guest-core=off",
       "-accel", kvm ? "kvm" : "tcg,thread=multi",
       // TCG runs "rep movsb" byte by byte: without ERMS the guest copies by
       // words, twice to three times as fast, and without rep_good, which its
       // kernel thinks such a CPU has, without "rep" at all.
       "-cpu", kvm ? "host" : "max,-erms,-fsrm",  //
       "-m", MemoryOption(spec),
       // Shared, because virtiofsd maps it.
       "-object",
       absl::StrCat("memory-backend-memfd,id=ram,size=", spec.boot_memory_bytes,
                    ",share=on"),
       // Every vCPU a socket of its own: each can be plugged by itself.
       "-smp",
       absl::StrCat("cpus=", spec.boot_vcpus, ",sockets=", spec.max_vcpus,
                    ",cores=1,threads=1,maxcpus=", spec.max_vcpus)});
}

void AppendBuses(const VmSpec& spec, std::vector<std::string>& argv) {
  // Conventional bridges with ACPI hot plug: 17 ms to plug, 72 ms to unplug;
  // native PCIe hot plug takes 150 ms and 6 s.
  for (int i = 0; i < spec.bridges; ++i) {
    argv.insert(argv.end(),
                {"-device", absl::StrCat("pci-bridge,id=pb", i,
                                         ",bus=pcie.0,chassis_nr=", i + 1)});
  }
  for (int i = 0; i < spec.root_ports; ++i) {
    argv.insert(argv.end(),
                {"-device", absl::StrCat("pcie-root-port,id=rp", i,
                                         ",bus=pcie.0,chassis=", 32 + i,
                                         ",slot=", 32 + i)});
  }
}

}  // namespace

std::string QemuProcessName(const PodId& id) {
  // With debug-threads the vCPUs' threads have names, by which their CPU time
  // is told from the rest (vm_usage.h).
  return absl::StrCat("podvisor-", id.value(), ",debug-threads=on");
}

std::string KernelCommandLine(const VmSpec& spec) {
  std::string line = kKernelParameters;
  // TCG does not speculate: there is nothing to mitigate. With KVM there is.
  if (spec.accelerator == Accelerator::kTcg) {
    // clearcpuid: of rep_good, for the reason that AppendMachine() gives.
    absl::StrAppend(&line, " mitigations=off clearcpuid=112");
    // A guest of TCG has the host's counter.
    if (spec.tsc_khz > 0) {
      absl::StrAppend(&line, " tsc_early_khz=", spec.tsc_khz);
    }
  }
  if (!spec.kernel_params.empty()) {
    absl::StrAppend(&line, " ", spec.kernel_params);
  }
  return line;
}

absl::StatusOr<std::vector<std::string>> QemuCommandLine(const VmSpec& spec) {
  RETURN_IF_ERROR(CheckSpec(spec));
  std::vector<std::string> argv = {spec.qemu, "-name",
                                   QemuProcessName(spec.id)};
  argv.insert(argv.end(), {"-nodefaults", "-no-user-config", "-display", "none",
                           "-vga", "none", "-no-reboot", "-msg", "timestamp=on",
                           // After this QEMU can neither start a program nor
                           // change what it is.
                           "-sandbox",
                           "on,obsolete=deny,elevateprivileges=deny,"
                           "spawn=deny,resourcecontrol=deny"});
  AppendMachine(spec, argv);
  AppendBuses(spec, argv);
  argv.insert(
      argv.end(),
      {"-chardev",
       absl::StrCat("socket,id=qmp,fd=", kQemuQmpFd, ",server=on,wait=off"),
       "-mon", "chardev=qmp,mode=control",  //
       "-chardev",
       absl::StrCat("socket,id=agent,fd=", kQemuAgentFd, ",server=on,wait=off"),
       // The agent has the controller to itself: it may reset it.
       "-device",
       "virtio-serial-pci,id=serial0,bus=pcie.0,max_ports=2,"
       "disable-legacy=on",
       "-device",
       absl::StrCat("virtserialport,id=agentport,bus=serial0.0,nr=1,"
                    "chardev=agent,name=",
                    kAgentPortName),
       "-add-fd", absl::StrCat("fd=", kQemuConsoleFd, ",set=1,opaque=console"),
       "-chardev", "file,id=console,path=/dev/fdset/1,append=on",  //
       "-serial", "chardev:console",                               //
       "-kernel", kJailKernel, "-initrd", kJailInitrd,             //
       "-append", KernelCommandLine(spec)});
  return argv;
}

}  // namespace podvisor
