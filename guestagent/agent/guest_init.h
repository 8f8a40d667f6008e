#ifndef PODVISOR_GUESTAGENT_AGENT_GUEST_INIT_H_
#define PODVISOR_GUESTAGENT_AGENT_GUEST_INIT_H_

#include "absl/status/status.h"

namespace podvisor {

// Where the guest keeps things; all on the tmpfs at /run.
inline constexpr char kRunDir[] = "/run/podvisor";
inline constexpr char kImagesDir[] = "/run/podvisor/images";
inline constexpr char kScratchDir[] = "/run/podvisor/scratch";
inline constexpr char kShareDir[] = "/run/podvisor/share";
inline constexpr char kModulesDir[] = "/lib/modules";

// What PID 1 does first, before any other thread: gives the initramfs a mount
// above it (pivot_root(2), which OCI runtimes use, refuses to leave the bare
// rootfs), mounts /proc, /sys, /dev, /run, /tmp and the cgroup v2 tree, makes
// the root read-only, raises the limits that the kernel derived from the
// memory at boot (a VM grows later), and brings the loopback device up.
//
// An error names the step; the guest is of no use then.
absl::Status InitializeGuest();

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_GUEST_INIT_H_
