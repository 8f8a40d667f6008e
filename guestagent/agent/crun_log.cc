#include "guestagent/agent/crun_log.h"

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/clean_text.h"
#include "nlohmann/json.hpp"

namespace podvisor {
namespace {

constexpr size_t kMaxTextBytes = 1024;

}  // namespace

std::string CrunErrorText(absl::string_view log) {
  std::string errors;
  std::string last;
  for (absl::string_view line :
       absl::StrSplit(log, '\n', absl::SkipWhitespace())) {
    last = std::string(line);
    const nlohmann::json entry = nlohmann::json::parse(
        line.begin(), line.end(), nullptr, /*allow_exceptions=*/false);
    if (!entry.is_object()) continue;
    const auto message = entry.find("msg");
    const auto level = entry.find("level");
    if (message == entry.end() || !message->is_string()) continue;
    last = message->get<std::string>();
    if (level != entry.end() && *level == "error" &&
        errors.size() < kMaxTextBytes) {
      absl::StrAppend(&errors, errors.empty() ? "" : "; ", last);
    }
  }
  return CleanText(errors.empty() ? last : errors, kMaxTextBytes);
}

int ExitCodeOfFailedCommand(absl::string_view error_text) {
  // "executable file `x` not found in $PATH", "open executable: Permission
  // denied", "exec container process `x`: Exec format error".
  if (!absl::StrContains(error_text, "exec")) return 0;
  if (absl::StrContains(error_text, "not found in $PATH") ||
      absl::StrContains(error_text, "No such file or directory")) {
    return 127;
  }
  if (absl::StrContains(error_text, "Permission denied") ||
      absl::StrContains(error_text, "Exec format error") ||
      absl::StrContains(error_text, "Is a directory")) {
    return 126;
  }
  return 0;
}

}  // namespace podvisor
