#ifndef PODVISOR_CRI_CONTAINER_OPTION_H_
#define PODVISOR_CRI_CONTAINER_OPTION_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cri/pod_manifest.h"

namespace podvisor {

// A container as a command line describes it, "cpus=4,memory=2Gi": its limits
// `cpus` and `memory`, and its request `cpu-request`, as Kubernetes quantities.
// As there, a request that is not given is the limit. Name and image are empty.
// Pure. InvalidArgument says what is wrong.
absl::StatusOr<ManifestContainer> ParseContainerOption(absl::string_view text);

}  // namespace podvisor

#endif  // PODVISOR_CRI_CONTAINER_OPTION_H_
