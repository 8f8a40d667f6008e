#ifndef PODVISOR_SANDBOX_RECORD_VM_SPEC_H_
#define PODVISOR_SANDBOX_RECORD_VM_SPEC_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/process.h"
#include "hotplug/vm_limits.h"

namespace podvisor {

// What executes the guest's instructions.
enum class Accelerator { kTcg = 1, kKvm = 2 };

// One VM as it is to be started. A value; nothing in it was chosen by a client
// except the sizes, which are numbers.
struct VmSpec {
  PodId id;
  std::string directory;  // the pod's run directory, see volume/pod_directory.h

  int boot_vcpus = 1;
  int max_vcpus = 1;
  int64_t boot_memory_bytes = int64_t{256} << 20;
  // Equal to the boot size: memory can not be plugged.
  int64_t max_memory_bytes = int64_t{256} << 20;
  MemoryDevice memory_device = MemoryDevice::kVirtioMem;
  VcpuUnplug vcpu_unplug = VcpuUnplug::kPark;  // what this QEMU bears
  int memory_slots = 0;
  int bridges = 1;     // pci-bridge: disks, share and network, 31 slots each
  int root_ports = 1;  // for memory devices

  Accelerator accelerator = Accelerator::kTcg;
  int64_t tsc_khz = 0;  // the host's, see host_tsc.h; 0: not known
  std::string qemu;
  std::string kernel;
  std::string initrd;
  std::string kernel_params;  // appended, from the configuration

  uid_t uid = 0;            // also the gid; see qemu_jail.h
  int64_t files_limit = 0;  // of QEMU; 0: kDefaultQemuFiles
  // The cgroup.procs files that QEMU writes itself into before it starts.
  std::vector<std::string> cgroup_procs;

  bool operator==(const VmSpec&) const = default;
};

// What a later daemon needs to find this VM again: stored in the pod's record.
struct VmRecord {
  ProcessIdentity qemu;
  std::optional<ProcessIdentity> virtiofsd;  // kept by the pod, not by the VM
  std::string agent_secret_hex;
  uid_t uid = 0;
  int boot_vcpus = 0;
  int max_vcpus = 0;
  int64_t boot_memory_bytes = 0;
  int64_t max_memory_bytes = 0;
  MemoryDevice memory_device = MemoryDevice::kVirtioMem;
  VcpuUnplug vcpu_unplug = VcpuUnplug::kPark;  // what this QEMU bears
  int memory_slots = 0;
  int bridges = 1;
  Accelerator accelerator = Accelerator::kTcg;

  bool operator==(const VmRecord&) const = default;
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_RECORD_VM_SPEC_H_
