#include "cri/field_check.h"

#include <limits>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"

namespace podvisor {
namespace {

constexpr size_t kMaxNameBytes = 1024;
constexpr size_t kMaxPathBytes = 4095;

absl::Status Wrong(absl::string_view field, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", what));
}

std::string Shown(absl::string_view value) {
  constexpr size_t kMaxShown = 64;
  return absl::StrCat("\"",
                      absl::Utf8SafeCHexEscape(value.substr(0, kMaxShown)),
                      value.size() > kMaxShown ? "...\"" : "\"");
}

absl::Status CheckComponents(absl::string_view field, absl::string_view value) {
  for (const absl::string_view part : absl::StrSplit(value, '/')) {
    if (part == "..") {
      return Wrong(field, absl::StrCat(Shown(value), " contains \"..\""));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckText(absl::string_view field, absl::string_view value,
                       size_t max_bytes) {
  if (value.size() > max_bytes) {
    return Wrong(field, absl::StrCat("has ", value.size(), " bytes; at most ",
                                     max_bytes, " are allowed"));
  }
  if (absl::StrContains(value, '\0')) {
    return Wrong(field, absl::StrCat(Shown(value), " contains a NUL byte"));
  }
  return absl::OkStatus();
}

absl::Status CheckLine(absl::string_view field, absl::string_view value,
                       size_t max_bytes) {
  RETURN_IF_ERROR(CheckText(field, value, max_bytes));
  for (const char c : value) {
    if (absl::ascii_iscntrl(static_cast<unsigned char>(c))) {
      return Wrong(field,
                   absl::StrCat(Shown(value), " contains a control character"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckName(absl::string_view field, absl::string_view value) {
  if (value.empty()) return Wrong(field, "is empty");
  RETURN_IF_ERROR(CheckLine(field, value, kMaxNameBytes));
  if (absl::StrContains(value, '/') || value == "." || value == "..") {
    return Wrong(field,
                 absl::StrCat(Shown(value), " is a path, a name is needed"));
  }
  return absl::OkStatus();
}

absl::Status CheckAbsolutePath(absl::string_view field,
                               absl::string_view value) {
  if (value.empty()) return Wrong(field, "is empty");
  RETURN_IF_ERROR(CheckLine(field, value, kMaxPathBytes));
  if (value.front() != '/') {
    return Wrong(field, absl::StrCat(Shown(value), " is not an absolute path"));
  }
  return CheckComponents(field, value);
}

absl::Status CheckRelativePath(absl::string_view field,
                               absl::string_view value) {
  if (value.empty()) return Wrong(field, "is empty");
  RETURN_IF_ERROR(CheckLine(field, value, kMaxPathBytes));
  if (value.front() == '/') {
    return Wrong(
        field, absl::StrCat(Shown(value), " is absolute; it must be relative"));
  }
  return CheckComponents(field, value);
}

absl::Status CheckRange(absl::string_view field, int64_t value, int64_t min,
                        int64_t max) {
  if (value < min || value > max) {
    return Wrong(field, absl::StrCat(value, " is out of range; ", min, " to ",
                                     max, " is allowed"));
  }
  return absl::OkStatus();
}

absl::Status CheckUserId(absl::string_view field, int64_t value) {
  return CheckRange(field, value, 0, std::numeric_limits<int32_t>::max());
}

}  // namespace podvisor
