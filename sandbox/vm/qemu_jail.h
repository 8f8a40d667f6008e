#ifndef PODVISOR_SANDBOX_VM_QEMU_JAIL_H_
#define PODVISOR_SANDBOX_VM_QEMU_JAIL_H_

#include <sys/types.h>

#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sandbox/record/vm_spec.h"

namespace podvisor {

// The users that QEMUs run as, one for each pod, begin here. systemd leaves
// everything from 1879048192 to 2147483647 to nobody; see its UIDS-GIDS
// document.
inline constexpr uid_t kFirstJailUid = 1879048192;

// The lowest user of the range that is not in use.
uid_t LowestFreeUid(const std::set<uid_t>& in_use);

inline constexpr int64_t kDefaultQemuFiles = 1024;

// The directory that becomes the jail's root.
std::string JailRoot(const std::string& pod_directory);

// Makes it, with all that mounts are put on. An existing one is OK.
absl::Status MakeJailRoot(const std::string& pod_directory);

// The command line that runs `argv` in the jail:
//
//   - its own mount, network, IPC and UTS namespaces. All it sees of the host
//     is /usr, read-only, the kernel and initrd files (and /dev/kvm with KVM).
//     The host's root is unmounted, so the jail keeps no host mount busy
//     either. There is no /proc;
//   - the pod's user and group, no other groups, no capabilities, no new
//     privileges, no core files (they would hold the guest's memory);
//   - the pod's cgroups, entered before anything else happens.
//
// It is a chain of packaged programs that exec one another, so the process
// that is started is the process that becomes QEMU. Pure.
//
// InvalidArgument: a path that is not absolute, root as the user, a QEMU that
// is not below /usr.
absl::StatusOr<std::vector<std::string>> JailCommandLine(
    const VmSpec& spec, const std::vector<std::string>& argv);

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_VM_QEMU_JAIL_H_
