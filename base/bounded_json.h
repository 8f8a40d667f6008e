#ifndef PODVISOR_BASE_BOUNDED_JSON_H_
#define PODVISOR_BASE_BOUNDED_JSON_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace podvisor {

// Parses JSON that somebody else wrote: at most `max_bytes` long and 32 levels
// deep, one object, valid UTF-8, no key twice in one object (readers disagree
// on which counts). Errors: DataLoss; `what` names the document.
absl::StatusOr<nlohmann::json> ParseBoundedJson(absl::string_view text,
                                                int64_t max_bytes,
                                                absl::string_view what);

// A member that is a string without NUL. Absent and null are ""; another type
// is DataLoss.
absl::StatusOr<std::string> JsonString(const nlohmann::json& object,
                                       const char* key);

// A member that is a list of strings without NUL. Absent and null are empty;
// another type is DataLoss.
absl::StatusOr<std::vector<std::string>> JsonStrings(
    const nlohmann::json& object, const char* key);

}  // namespace podvisor

#endif  // PODVISOR_BASE_BOUNDED_JSON_H_
