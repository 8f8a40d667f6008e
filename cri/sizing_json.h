#ifndef PODVISOR_CRI_SIZING_JSON_H_
#define PODVISOR_CRI_SIZING_JSON_H_

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "sandbox/size/pod_sizing.h"

namespace podvisor {

// The member "sizing" of a pod's verbose status: what the daemon plans from, so
// that a client can plan the same. Resources are written as CRI's messages are
// in JSON. Pure.
nlohmann::json SizingToJson(const ObservedSizing& sizing);

// DataLoss, naming the member, for what SizingToJson() does not write.
absl::StatusOr<ObservedSizing> SizingFromJson(const nlohmann::json& json);

}  // namespace podvisor

#endif  // PODVISOR_CRI_SIZING_JSON_H_
