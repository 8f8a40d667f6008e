#ifndef PODVISOR_CRI_POD_LOOKUP_H_
#define PODVISOR_CRI_POD_LOOKUP_H_

#include <string>

#include "absl/status/statusor.h"
#include "cri/cri_client.h"
#include "nlohmann/json.hpp"

namespace podvisor {

// How podvisorctl's commands find what an operator names, and read what the
// daemon says of it.

// The id of the pod that `wanted` means: an id, its beginning, a name, or a
// namespace and a name as `vms` shows them.
// NotFound, and InvalidArgument with their ids where it means several.
absl::StatusOr<std::string> FindPod(CriClient& client,
                                    const std::string& wanted);

// The verbose part of a pod's status; an empty object where there is none.
nlohmann::json PodInfo(const runtime::v1::PodSandboxStatusResponse& status);

// A member that is a text; "" where it is missing or something else.
std::string InfoText(const nlohmann::json& info, const char* key);

}  // namespace podvisor

#endif  // PODVISOR_CRI_POD_LOOKUP_H_
