#include "cri/seccomp_profile.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/clean_text.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "cri/seccomp_rules.h"
#include "guestagent/default_capabilities.h"
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

template <typename Names>
bool Has(const Names& names, absl::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

// As the agent decides it for a container that is not privileged.
bool Grants(const SecuritySpec& security, absl::string_view capability) {
  if (Has(security.add_ambient_capabilities, capability)) return true;
  if (Has(security.drop_capabilities, capability)) return false;
  if (Has(security.add_capabilities, capability) ||
      Has(security.add_capabilities, "ALL")) {
    return true;
  }
  return !Has(security.drop_capabilities, "ALL") &&
         Has(kDefaultCapabilities, capability);
}

}  // namespace

absl::StatusOr<std::string> ReadDefaultSeccomp(const std::string& path) {
  ASSIGN_OR_RETURN(std::string text, ReadProfile(path));
  const absl::Status usable =
      ToOciSeccomp(text, [](absl::string_view) { return false; }).status();
  if (!usable.ok()) return Unusable(path, usable.message());
  return text;
}

absl::StatusOr<std::string> LoadSeccompProfile(
    const SeccompChoice& choice,
    const absl::StatusOr<std::string>& runtime_default,
    const SecuritySpec& security) {
  switch (choice.kind) {
    case SeccompChoice::Kind::kUnconfined:
      return std::string();
    case SeccompChoice::Kind::kRuntimeDefault:
      if (!runtime_default.ok()) {
        return absl::FailedPreconditionError(absl::StrCat(
            "this host has no seccomp profile for RuntimeDefault: ",
            runtime_default.status().message()));
      }
      return ToOciSeccomp(*runtime_default,
                          [&security](absl::string_view capability) {
                            return Grants(security, capability);
                          });
    case SeccompChoice::Kind::kLocalhost:
      return ReadProfile(choice.path);
  }
  return absl::InternalError("seccomp: unknown kind of profile");
}

}  // namespace podvisor
