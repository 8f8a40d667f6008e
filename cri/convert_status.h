#ifndef PODVISOR_CRI_CONVERT_STATUS_H_
#define PODVISOR_CRI_CONVERT_STATUS_H_

#include <optional>
#include <string>

#include "sandbox/record/pod_snapshot.h"
#include "sandbox/size/pod_sizing.h"
#include "third_party/cri_api/api.pb.h"

namespace podvisor {

// Snapshots to CRI's messages. Pure. Labels, annotations and mounts go back as
// they came; resources are what is applied, not what was asked for.

runtime::v1::PodSandbox ToPodSandbox(const PodSnapshot& pod);
runtime::v1::PodSandboxStatus ToPodSandboxStatus(const PodSnapshot& pod);

runtime::v1::Container ToContainer(const ContainerSnapshot& container);
runtime::v1::ContainerStatus ToContainerStatus(
    const ContainerSnapshot& container);

// Of a container that has never been sampled it is known that it had used no
// CPU time when it was started, and nothing else. The directory is one of this
// host, on the file system that holds the writable layers: kubelet looks at it.
runtime::v1::ContainerStats ToContainerStats(
    const ContainerStatsSnapshot& stats,
    const std::string& writable_layers_directory);

runtime::v1::PsiStats ToPsiStats(const ResourcePressure& pressure);

// The value of the key "info" of a verbose PodSandboxStatus: a JSON object.
//   sandboxId, state, pid, accelerator, agentVersion, kernelRelease,
//   bootSeconds, consolePath, cgroupPath, lastError,
//   vcpus {base, target, plugged, online, max, clamped, cutByPodMilli},
//   memoryBytes {base, target, plugged, online, max, clamped, cutByPod,
//   shortfall},
//   memorySlots {used, total},
//   observedAt: when plugged, online, shortfall and used were so, RFC 3339,
//   sizing: see sizing_json.h; only where `sizing` has a value
// Texts that a guest chose are cleaned.
std::string PodInfoJson(const PodSnapshot& pod,
                        const std::optional<ObservedSizing>& sizing);

// The value of the key "info" of a verbose ContainerStatus: a JSON object with
// sandboxID, privileged and the applied resources; no secrets, so no
// environment.
std::string ContainerInfoJson(const ContainerSnapshot& container);

}  // namespace podvisor

#endif  // PODVISOR_CRI_CONVERT_STATUS_H_
