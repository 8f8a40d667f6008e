// The table of all keys; config_schema.h has the contract.

#include <vector>

#include "cri/config_schema.h"
#include "hotplug/vm_limits.h"

namespace podvisor {
namespace {

constexpr int64_t kMaxMemoryMib = 16 << 20;  // 16 TiB
constexpr int64_t kHourMs = 3'600'000;

constexpr char kServer[] = "server";
constexpr char kQemu[] = "hypervisor.qemu";
constexpr char kImage[] = "image";
constexpr char kNetwork[] = "network";

#define PODVISOR_FIELD(member) \
  [](Config& config) -> ConfigField { return &config.member; }

std::vector<ConfigKey> ServerKeys() {
  return {
      {kServer,
       "socket",
       PODVISOR_FIELD(server.socket),
       "Where kubelet and crictl find the CRI services: --container-runtime-"
       "endpoint\nunix://SOCKET. At most 107 bytes.",
       StringRule::kSocketPath,
       {}},
      {kServer,
       "streaming_address",
       PODVISOR_FIELD(server.streaming_address),
       "exec, attach and port-forward. Loopback only: kubelet proxies. Port 0 "
       "takes a\nfree one.",
       StringRule::kLoopbackAddress,
       {}},
      {kServer,
       "metrics_address",
       PODVISOR_FIELD(server.metrics_address),
       "/metrics, /healthz, and a page for people at /. Loopback only.",
       StringRule::kLoopbackAddress,
       {}},
      {kServer,
       "root_dir",
       PODVISOR_FIELD(server.root_dir),
       "Records and images; survives a reboot.",
       StringRule::kPath,
       {}},
      {kServer,
       "run_dir",
       PODVISOR_FIELD(server.run_dir),
       "Sockets and pids; need not survive a reboot.",
       StringRule::kPath,
       {}},
      {kServer,
       "log_level",
       PODVISOR_FIELD(server.log_level),
       "The least level that is logged.",
       StringRule::kChoice,
       {"debug", "info", "warning", "error"}},
      {kServer,
       "cgroup_driver",
       PODVISOR_FIELD(server.cgroup_driver),
       "What kubelet is told to use for its pod cgroups.",
       StringRule::kChoice,
       {"cgroupfs", "systemd"}},
  };
}

std::vector<ConfigKey> QemuProgramKeys() {
  return {
      {kQemu,
       "path",
       PODVISOR_FIELD(qemu.path),
       "The QEMU system emulator.",
       StringRule::kPath,
       {}},
      {kQemu,
       "virtiofsd",
       PODVISOR_FIELD(qemu.virtiofsd),
       "Exports a pod's volumes to its VM.",
       StringRule::kPath,
       {}},
      {kQemu,
       "kernel",
       PODVISOR_FIELD(qemu.kernel),
       "The guest's kernel, uncompressed (vmlinux), for a PVH boot.",
       StringRule::kPath,
       {}},
      {kQemu,
       "initrd",
       PODVISOR_FIELD(qemu.initrd),
       "The guest's initramfs: modules, crun and the agent.",
       StringRule::kPath,
       {}},
      {kQemu,
       "firmware",
       PODVISOR_FIELD(qemu.firmware),
       "Firmware image; empty: none. aarch64 needs one for memory hot plug.",
       StringRule::kOptionalPath,
       {},
       0,
       0,
       /*effective=*/false},
      {kQemu,
       "kernel_params",
       PODVISOR_FIELD(qemu.kernel_params),
       "Appended to the guest's kernel command line.",
       StringRule::kKernelParams,
       {}},
      {kQemu,
       "accelerator",
       PODVISOR_FIELD(qemu.accelerator),
       "\"auto\" boots the guest kernel once under KVM and falls back to "
       "emulation.",
       StringRule::kChoice,
       {"auto", "kvm", "tcg"}},
      {kQemu,
       "max_parallel_boots",
       PODVISOR_FIELD(qemu.max_parallel_boots),
       "VMs that boot at the same time; the others queue.",
       StringRule::kNone,
       {},
       1,
       64},
  };
}

std::vector<ConfigKey> QemuSizeKeys() {
  return {
      {kQemu,
       "default_vcpus",
       PODVISOR_FIELD(qemu.default_vcpus),
       "vCPUs of a VM with nothing to run. Annotation: sandbox_cpu.",
       StringRule::kNone,
       {},
       1,
       kMostVcpus},
      {kQemu,
       "default_maxvcpus",
       PODVISOR_FIELD(qemu.default_maxvcpus),
       "The most vCPUs a VM can grow to; 0: the host's online, non-isolated "
       "CPUs.",
       StringRule::kNone,
       {},
       0,
       kMostVcpus},
      {kQemu,
       "default_memory",
       PODVISOR_FIELD(qemu.default_memory),
       "Memory of a VM with nothing to run, in MiB. Annotation: sandbox_mem.",
       StringRule::kNone,
       {},
       128,
       kMaxMemoryMib},
      {kQemu,
       "default_maxmemory",
       PODVISOR_FIELD(qemu.default_maxmemory),
       "The most memory a VM can grow to, in MiB; 0: the host's memory.",
       StringRule::kNone,
       {},
       0,
       kMaxMemoryMib},
      {kQemu,
       "memory_slots",
       PODVISOR_FIELD(qemu.memory_slots),
       "DIMMs a VM can be given with memory_hotplug = \"pc-dimm\".",
       StringRule::kNone,
       {},
       1,
       255},
      {kQemu,
       "default_bridges",
       PODVISOR_FIELD(qemu.default_bridges),
       "PCI bridges for hot-plugged disks, 31 slots each.",
       StringRule::kNone,
       {},
       1,
       5},
      {kQemu,
       "default_root_ports",
       PODVISOR_FIELD(qemu.default_root_ports),
       "PCIe root ports for other devices; each costs about 20 ms of boot.",
       StringRule::kNone,
       {},
       0,
       16},
  };
}

std::vector<ConfigKey> QemuResizeKeys() {
  return {
      {kQemu,
       "enable_cpu_memory_hotplug",
       PODVISOR_FIELD(qemu.enable_cpu_memory_hotplug),
       "false: a VM keeps its boot size, and a container with a larger memory "
       "limit is\nrefused.",
       StringRule::kNone,
       {}},
      {kQemu,
       "memory_hotplug",
       PODVISOR_FIELD(qemu.memory_hotplug),
       "How memory grows. virtio-mem can also shrink.",
       StringRule::kChoice,
       {"virtio-mem", "pc-dimm"}},
      {kQemu,
       "pc_dimm_unplug",
       PODVISOR_FIELD(qemu.pc_dimm_unplug),
       "Remove whole DIMMs that are no longer needed.",
       StringRule::kNone,
       {}},
      {kQemu,
       "vcpu_unplug",
       PODVISOR_FIELD(qemu.vcpu_unplug),
       "\"device\" removes a vCPU, \"park\" leaves it plugged and offline, "
       "\"auto\" parks where\nthis QEMU is known to break, and \"device\" is "
       "refused there.",
       StringRule::kChoice,
       {"auto", "device", "park"}},
      {kQemu,
       "sizing",
       PODVISOR_FIELD(qemu.sizing),
       "\"shared\": containers use the base too; \"additive\": the base comes "
       "on "
       "top.",
       StringRule::kChoice,
       {"shared", "additive"}},
      {kQemu,
       "presize",
       PODVISOR_FIELD(qemu.presize),
       "Boot at the size that the pod's resources ask for.",
       StringRule::kNone,
       {}},
      {kQemu,
       "guest_overhead_memory",
       PODVISOR_FIELD(qemu.guest_overhead_memory),
       "Added to the guest's memory for its kernel and agent, in MiB, so that "
       "a container\ncan reach its own limit; with it comes 3/128 of what "
       "containers ask for, to manage\nthat memory. 0: neither.",
       StringRule::kNone,
       {},
       0,
       65536},
      {kQemu,
       "shrink_delay",
       PODVISOR_FIELD(qemu.shrink_delay),
       "How long a VM keeps what a stopped container used.",
       StringRule::kNone,
       {},
       0,
       kHourMs},
      {kQemu,
       "cpuset",
       PODVISOR_FIELD(qemu.cpuset),
       "\"pin\": cpuset_cpus names host CPUs, to which vCPU threads are kept; "
       "\"guest\": it\nnames guest CPUs.",
       StringRule::kChoice,
       {"pin", "guest"}},
      {kQemu,
       "accounting_guard",
       PODVISOR_FIELD(qemu.accounting_guard),
       "When guest memory and VMM cost can exceed the pod's limit and "
       "overhead.",
       StringRule::kChoice,
       {"warn", "enforce"}},
  };
}

std::vector<ConfigKey> OtherKeys() {
  return {
      {kImage,
       "registries_conf",
       PODVISOR_FIELD(image.registries_conf),
       "Registries and mirrors, containers-registries.conf(5).",
       StringRule::kPath,
       {}},
      {kImage,
       "policy",
       PODVISOR_FIELD(image.policy),
       "Which images are trusted, containers-policy.json(5).",
       StringRule::kPath,
       {}},
      {kNetwork,
       "cni_conf_dir",
       PODVISOR_FIELD(network.cni_conf_dir),
       "The first CNI configuration in it is used. One of version 1.1.0 that "
       "another\nruntime of this node uses too needs \"disableGC\": true.",
       StringRule::kPath,
       {}},
      {kNetwork,
       "cni_bin_dirs",
       PODVISOR_FIELD(network.cni_bin_dirs),
       "Where CNI plugins are looked for, in this order.",
       StringRule::kPath,
       {}},
  };
}

#undef PODVISOR_FIELD

}  // namespace

absl::Span<const ConfigKey> ConfigKeys() {
  static const std::vector<ConfigKey>& keys = *[] {
    auto* all = new std::vector<ConfigKey>;
    for (const auto& group : {ServerKeys(), QemuProgramKeys(), QemuSizeKeys(),
                              QemuResizeKeys(), OtherKeys()}) {
      all->insert(all->end(), group.begin(), group.end());
    }
    return all;
  }();
  return keys;
}

}  // namespace podvisor
