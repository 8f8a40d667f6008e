#ifndef PODVISOR_SANDBOX_VM_POD_PROCESSES_H_
#define PODVISOR_SANDBOX_VM_POD_PROCESSES_H_

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/ids.h"
#include "base/process.h"

namespace podvisor {

// Whether a command line (of /proc/PID/cmdline: arguments that end with NUL) is
// that of this pod's QEMU or virtiofsd, also while their launchers still run.
// Pure.
bool IsProcessOfPod(absl::string_view cmdline, const PodId& id);

// All such processes of this host. Errors: /proc could not be read to its end,
// for want of descriptors, say; nobody knows then what is there.
absl::StatusOr<std::vector<ProcessIdentity>> FindPodProcesses(const PodId& id);

// Kills them, those too that start meanwhile. Errors: those of
// FindPodProcesses(), and DeadlineExceeded.
absl::Status KillPodProcesses(const PodId& id, absl::Time deadline);

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_VM_POD_PROCESSES_H_
