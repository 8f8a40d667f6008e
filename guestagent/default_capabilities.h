#ifndef PODVISOR_GUESTAGENT_DEFAULT_CAPABILITIES_H_
#define PODVISOR_GUESTAGENT_DEFAULT_CAPABILITIES_H_

#include "absl/strings/string_view.h"

namespace podvisor {

// What a container has that asks for nothing: the set that Docker and
// containerd give. The agent gives it, and the host decides by it what a
// container's seccomp profile lets through: both must mean the same.
inline constexpr absl::string_view kDefaultCapabilities[] = {
    "CAP_CHOWN",   "CAP_DAC_OVERRIDE", "CAP_FSETID",           "CAP_FOWNER",
    "CAP_MKNOD",   "CAP_NET_RAW",      "CAP_SETGID",           "CAP_SETUID",
    "CAP_SETFCAP", "CAP_SETPCAP",      "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT",
    "CAP_KILL",    "CAP_AUDIT_WRITE",
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_DEFAULT_CAPABILITIES_H_
