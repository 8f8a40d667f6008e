#ifndef PODVISOR_CRI_CONVERT_IDS_H_
#define PODVISOR_CRI_CONVERT_IDS_H_

#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/id_mapping.h"
#include "sandbox/record/container_spec.h"
#include "third_party/cri_api/api.pb.h"

namespace podvisor {

// What a pod or container asks for as its user namespace; nullopt: the node's,
// which in a VM is the guest's. Pure. InvalidArgument, naming `field`: a mode
// other than POD and NODE, or not exactly one mapping of users with id 0 in it
// and an equal one of groups. That is what kubelet sends; other runtimes take
// no more either.
absl::StatusOr<std::optional<IdMapping>> ConvertUserNamespace(
    const runtime::v1::UserNamespace& userns, absl::string_view field);

// The same for the mappings of a mount; without any, nullopt.
absl::StatusOr<std::optional<IdMapping>> ConvertMountIds(
    const runtime::v1::Mount& mount, absl::string_view field);

// A container has its pod's user namespace `pod_ids`, and its mounts' ids are
// either the pod's or not mapped. `config` is what `spec` was made of; one
// that does not say what it wants takes the pod's. Pure. InvalidArgument.
absl::Status CheckIdsOfPod(const std::optional<IdMapping>& pod_ids,
                           const runtime::v1::ContainerConfig& config,
                           const ContainerSpec& spec);

}  // namespace podvisor

#endif  // PODVISOR_CRI_CONVERT_IDS_H_
