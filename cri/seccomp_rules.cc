#include "cri/seccomp_rules.h"

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/clean_text.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"

namespace podvisor {
namespace {

using Json = nlohmann::json;
using Granted = std::function<bool(absl::string_view)>;
using Version = std::pair<int, int>;

constexpr absl::string_view kArch = "amd64";
constexpr absl::string_view kOciArch = "SCMP_ARCH_X86_64";
// guestagent/image takes no older one.
constexpr Version kGuestKernel = {6, 1};
// Linux has fewer than 500 system calls.
constexpr size_t kMaxRules = 1024;

absl::Status Malformed(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("seccomp profile: ", what));
}

// The strings of a list that may be missing or null.
absl::StatusOr<std::vector<std::string>> Strings(const Json& object,
                                                 const char* key) {
  std::vector<std::string> strings;
  const auto list = object.find(key);
  if (list == object.end() || list->is_null()) return strings;
  if (!list->is_array() || list->size() > kMaxRules) {
    return Malformed(absl::StrCat(key, " is not a list"));
  }
  for (const Json& entry : *list) {
    if (!entry.is_string()) {
      return Malformed(absl::StrCat(key, " has an entry that is no string"));
    }
    strings.push_back(entry.get<std::string>());
  }
  return strings;
}

absl::StatusOr<Version> ParseVersion(const Json& text) {
  Version version;
  if (text.is_string()) {
    const std::vector<std::string> parts =
        absl::StrSplit(text.get<std::string>(), '.');
    if (parts.size() == 2 && absl::SimpleAtoi(parts[0], &version.first) &&
        absl::SimpleAtoi(parts[1], &version.second)) {
      return version;
    }
  }
  return Malformed("minKernel is not MAJOR.MINOR");
}

// What the conditions of one side, "includes" or "excludes", say. A condition
// that is not there says nothing.
struct Verdict {
  bool all = true;   // of those that are there, each holds
  bool any = false;  // one of them does

  void Add(bool holds) {
    all = all && holds;
    any = any || holds;
  }
};

absl::StatusOr<Verdict> Judge(const Json& rule, const char* side,
                              const Granted& granted) {
  Verdict verdict;
  const auto conditions = rule.find(side);
  if (conditions == rule.end() || conditions->is_null()) return verdict;
  if (!conditions->is_object()) {
    return Malformed(absl::StrCat(side, " is not an object"));
  }
  for (const auto& [key, value] : conditions->items()) {
    if (key != "arches" && key != "caps" && key != "minKernel") {
      return Malformed(
          absl::StrCat("unknown condition \"", CleanText(key, 64), "\""));
    }
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> arches,
                   Strings(*conditions, "arches"));
  if (!arches.empty()) {
    bool ours = false;
    for (const std::string& arch : arches) ours = ours || arch == kArch;
    verdict.Add(ours);
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> capabilities,
                   Strings(*conditions, "caps"));
  for (const std::string& name : capabilities) verdict.Add(granted(name));
  if (const auto kernel = conditions->find("minKernel");
      kernel != conditions->end() && *kernel != "") {
    ASSIGN_OR_RETURN(const Version version, ParseVersion(*kernel));
    verdict.Add(kGuestKernel >= version);
  }
  return verdict;
}

// Copies what the OCI's form has under the same name.
void CopyMember(const Json& from, const char* key, Json& to) {
  const auto member = from.find(key);
  if (member != from.end() && !member->is_null()) to[key] = *member;
}

absl::StatusOr<Json> ConvertRule(const Json& rule) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names,
                   Strings(rule, "names"));
  if (names.empty()) return Malformed("a rule has no names");
  const auto action = rule.find("action");
  if (action == rule.end() || !action->is_string()) {
    return Malformed("a rule has no action");
  }
  // Without the number crun would answer EPERM instead.
  if (rule.contains("errno") && !rule.contains("errnoRet")) {
    return Malformed("a rule has an errno without its number");
  }
  Json converted = {{"names", names}, {"action", *action}};
  CopyMember(rule, "errnoRet", converted);
  if (const auto args = rule.find("args");
      args != rule.end() && !args->empty()) {
    converted["args"] = *args;
  }
  return converted;
}

// Ours and those whose programs the kernel runs as well.
absl::StatusOr<Json> Architectures(const Json& profile) {
  const auto map = profile.find("archMap");
  if (map != profile.end() && map->is_array()) {
    for (const Json& entry : *map) {
      if (!entry.is_object() ||
          entry.value("architecture", Json()) != std::string(kOciArch)) {
        continue;
      }
      ASSIGN_OR_RETURN(std::vector<std::string> architectures,
                       Strings(entry, "subArchitectures"));
      architectures.insert(architectures.begin(), std::string(kOciArch));
      return Json(architectures);
    }
  }
  return Malformed("archMap has no SCMP_ARCH_X86_64");
}

}  // namespace

absl::StatusOr<std::string> ToOciSeccomp(absl::string_view profile,
                                         const Granted& granted) {
  const Json from = Json::parse(profile.begin(), profile.end(), nullptr,
                                /*allow_exceptions=*/false);
  if (!from.is_object()) return Malformed("is not a JSON object");
  const auto action = from.find("defaultAction");
  if (action == from.end() || !action->is_string()) {
    return Malformed("has no defaultAction");
  }
  if (from.contains("defaultErrno") && !from.contains("defaultErrnoRet")) {
    return Malformed("has a defaultErrno without its number");
  }
  Json to = {{"defaultAction", *action}};
  CopyMember(from, "defaultErrnoRet", to);
  ASSIGN_OR_RETURN(to["architectures"], Architectures(from));

  const auto rules = from.find("syscalls");
  if (rules == from.end() || !rules->is_array() || rules->size() > kMaxRules) {
    return Malformed("has no list of syscalls");
  }
  Json& kept = to["syscalls"] = Json::array();
  for (const Json& rule : *rules) {
    if (!rule.is_object()) return Malformed("a rule is not an object");
    ASSIGN_OR_RETURN(const Verdict included, Judge(rule, "includes", granted));
    ASSIGN_OR_RETURN(const Verdict excluded, Judge(rule, "excludes", granted));
    ASSIGN_OR_RETURN(Json converted, ConvertRule(rule));
    if (included.all && !excluded.any) kept.push_back(std::move(converted));
  }
  return to.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace podvisor
