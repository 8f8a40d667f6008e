#include "sandbox/size/grow_error.h"

#include "absl/strings/str_cat.h"

namespace podvisor {

absl::Status GrowError(const absl::Status& grown, absl::string_view for_what) {
  if (grown.ok()) return grown;
  return absl::Status(
      absl::IsDeadlineExceeded(grown) ? absl::StatusCode::kResourceExhausted
                                      : grown.code(),
      absl::StrCat("the VM cannot grow ", for_what, ": ", grown.message()));
}

}  // namespace podvisor
