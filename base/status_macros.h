// RETURN_IF_ERROR and ASSIGN_OR_RETURN, which the packaged Abseil (2022-06)
// does not have yet. Delete this file when Abseil has them.

#ifndef PODVISOR_BASE_STATUS_MACROS_H_
#define PODVISOR_BASE_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace podvisor {

// The same code with "context: " in front of the message; OK stays OK.
inline absl::Status Annotate(const absl::Status& status,
                             absl::string_view context) {
  if (status.ok()) return status;
  return absl::Status(status.code(),
                      absl::StrCat(context, ": ", status.message()));
}

}  // namespace podvisor

#define PODVISOR_MACRO_CONCAT_INNER(a, b) a##b
#define PODVISOR_MACRO_CONCAT(a, b) PODVISOR_MACRO_CONCAT_INNER(a, b)

#define RETURN_IF_ERROR(expression)                      \
  do {                                                   \
    absl::Status podvisor_status_ = (expression);        \
    if (!podvisor_status_.ok()) return podvisor_status_; \
  } while (false)

#define ASSIGN_OR_RETURN(lhs, expression)                                  \
  PODVISOR_ASSIGN_OR_RETURN(PODVISOR_MACRO_CONCAT(podvisor_or_, __LINE__), \
                            lhs, expression)

#define PODVISOR_ASSIGN_OR_RETURN(result, lhs, expression) \
  auto result = (expression);                              \
  if (!result.ok()) return std::move(result).status();     \
  lhs = *std::move(result)

#endif  // PODVISOR_BASE_STATUS_MACROS_H_
