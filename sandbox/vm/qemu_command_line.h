#ifndef PODVISOR_SANDBOX_VM_QEMU_COMMAND_LINE_H_
#define PODVISOR_SANDBOX_VM_QEMU_COMMAND_LINE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/ids.h"
#include "sandbox/record/vm_spec.h"

namespace podvisor {

// Descriptors that QEMU inherits. The two sockets listen already.
inline constexpr int kQemuQmpFd = 3;
inline constexpr int kQemuAgentFd = 4;
inline constexpr int kQemuConsoleFd = 5;

// Paths in QEMU's jail, see qemu_jail.h.
inline constexpr char kJailKernel[] = "/kernel";
inline constexpr char kJailInitrd[] = "/initrd";

// The agent looks for the port with this name.
inline constexpr char kAgentPortName[] = "podvisor.agent";

// The value of QEMU's -name: by it a QEMU is recognized in /proc.
std::string QemuProcessName(const PodId& id);

// What the guest's kernel is told.
std::string KernelCommandLine(const VmSpec& spec);

// QEMU's command line. Everything that can be plugged is plugged later by QMP:
// here is only what must be there at boot. No path but the two of the jail, no
// text but constants, numbers, the pod's id and the configured kernel_params.
//
// Pure. InvalidArgument for a spec that cannot be, naming the field.
absl::StatusOr<std::vector<std::string>> QemuCommandLine(const VmSpec& spec);

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_VM_QEMU_COMMAND_LINE_H_
