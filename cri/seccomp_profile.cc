#include "cri/seccomp_profile.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "base/clean_text.h"
#include "base/file.h"
#include "nlohmann/json.hpp"

namespace podvisor {
namespace {

constexpr size_t kMaxProfileBytes = 1 << 20;

absl::Status Unusable(absl::string_view path, absl::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("seccomp profile ", CleanText(path, 512), ": ", why));
}

// json::accept() keeps no tree, so that deep nesting costs nothing.
bool IsJsonObject(const std::string& text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  return first != std::string::npos && text[first] == '{' &&
         nlohmann::json::accept(text);
}

absl::StatusOr<std::string> ReadProfile(const std::string& path) {
  // A FIFO would block the read.
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return Unusable(path, "is missing");
  if (!S_ISREG(info.st_mode)) return Unusable(path, "is not a regular file");
  absl::StatusOr<std::string> text = ReadFile(path, kMaxProfileBytes);
  if (!text.ok()) return Unusable(path, text.status().message());
  if (!IsJsonObject(*text)) {
    return Unusable(path, "is empty or not a JSON object");
  }
  return text;
}

}  // namespace

absl::StatusOr<std::string> LoadSeccompProfile(
    const SeccompChoice& choice, absl::string_view runtime_default) {
  switch (choice.kind) {
    case SeccompChoice::Kind::kUnconfined:
      return std::string();
    case SeccompChoice::Kind::kRuntimeDefault:
      if (runtime_default.empty()) {
        return absl::FailedPreconditionError(
            "seccomp: this host has no RuntimeDefault profile");
      }
      return std::string(runtime_default);
    case SeccompChoice::Kind::kLocalhost:
      return ReadProfile(choice.path);
  }
  return absl::InternalError("seccomp: unknown kind of profile");
}

}  // namespace podvisor
