#ifndef PODVISOR_CRI_HOST_SETTINGS_H_
#define PODVISOR_CRI_HOST_SETTINGS_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/cpu_list.h"
#include "cri/config.h"
#include "hotplug/qemu_version.h"
#include "sandbox/record/vm_spec.h"
#include "sandbox/size/pod_settings.h"

namespace podvisor {

// What a VM can at most be on this host.
struct HostSize {
  int cpus = 1;              // online, and not isolated from the scheduler
  int64_t memory_bytes = 0;  // MemTotal
  CpuList online_cpus;       // isolated ones too: a cpuset may name them
};

// Reads it from the kernel, whose sysfs is mounted at `sys`.
absl::StatusOr<HostSize> MeasureHost(const std::string& sys = "/sys");

// The version of a QEMU, by asking the program itself. FailedPrecondition when
// it is missing or says something else.
absl::StatusOr<QemuVersion> ProbeQemuVersion(const std::string& program);

// The first line of `qemu-system-... --version`. Pure; DataLoss.
absl::StatusOr<QemuVersion> ParseQemuVersion(absl::string_view text);

// The guest that AcceleratorProbe tries, and by which its outcome is found
// again. Pure.
VmSpec ProbedVm(const Config& config);

// The configuration as the pods take it: defaults that depend on the host are
// filled in. Pure.
//
// InvalidArgument where configuration and host together make no VM possible.
absl::StatusOr<PodSettings> PodSettingsFrom(const Config& config,
                                            const HostSize& host,
                                            Accelerator accelerator,
                                            const QemuVersion& qemu);

}  // namespace podvisor

#endif  // PODVISOR_CRI_HOST_SETTINGS_H_
