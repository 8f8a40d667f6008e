#include "cri/container_option.h"

#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/clean_text.h"
#include "base/status_macros.h"
#include "cri/quantity.h"

namespace podvisor {

absl::StatusOr<ManifestContainer> ParseContainerOption(absl::string_view text) {
  ManifestContainer container;
  std::set<absl::string_view> seen;
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    const std::pair<absl::string_view, absl::string_view> field =
        absl::StrSplit(part, absl::MaxSplits('=', 1));
    const auto& [key, value] = field;
    if (!seen.insert(key).second) {
      return absl::InvalidArgumentError(
          absl::StrCat(CleanText(key, 64), " is given twice"));
    }
    if (key == "cpus") {
      ASSIGN_OR_RETURN(container.cpu_limit_millis, ParseCpuQuantity(value));
    } else if (key == "cpu-request") {
      ASSIGN_OR_RETURN(container.cpu_request_millis, ParseCpuQuantity(value));
    } else if (key == "memory") {
      ASSIGN_OR_RETURN(container.memory_limit_bytes, ParseByteQuantity(value));
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", CleanText(part, 64),
                       "\" is not cpus=..., cpu-request=... or memory=..."));
    }
  }
  if (container.cpu_limit_millis > 0 &&
      container.cpu_request_millis > container.cpu_limit_millis) {
    return absl::InvalidArgumentError("the cpu-request is above the limit");
  }
  if (container.cpu_request_millis == 0) {
    container.cpu_request_millis = container.cpu_limit_millis;
  }
  return container;
}

}  // namespace podvisor
