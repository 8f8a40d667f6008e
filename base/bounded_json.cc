#include "base/bounded_json.h"

#include <set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace podvisor {
namespace {

using nlohmann::json;

constexpr size_t kMaxDepth = 32;

// Judges a document while it is read: nothing below the depth limit is kept.
class Judge {
 public:
  bool operator()(int depth, json::parse_event_t event, json& parsed) {
    if (event == json::parse_event_t::object_start ||
        event == json::parse_event_t::array_start) {
      if (static_cast<size_t>(depth) >= kMaxDepth) {
        problem_ = "is nested too deeply";
        return false;
      }
      keys_.resize(depth + 1);
      keys_.emplace_back();
    } else if (event == json::parse_event_t::key && problem_.empty()) {
      if (!keys_.back().insert(parsed.get<std::string>()).second) {
        problem_ = "has a key twice";
      }
    } else if (event == json::parse_event_t::object_end ||
               event == json::parse_event_t::array_end) {
      keys_.resize(depth + 1);
    }
    return problem_.empty();
  }

  const std::string& problem() const { return problem_; }

 private:
  std::vector<std::set<std::string>> keys_ = {{}};
  std::string problem_;
};

absl::Status WrongType(const char* key, absl::string_view wanted) {
  return absl::DataLossError(absl::StrCat("\"", key, "\" is not ", wanted));
}

bool IsCleanString(const json& value) {
  return value.is_string() &&
         value.get_ref<const std::string&>().find('\0') == std::string::npos;
}

}  // namespace

absl::StatusOr<json> ParseBoundedJson(absl::string_view text, int64_t max_bytes,
                                      absl::string_view what) {
  if (static_cast<int64_t>(text.size()) > max_bytes) {
    return absl::DataLossError(
        absl::StrCat(what, " is longer than ", max_bytes, " bytes"));
  }
  Judge judge;
  json document = json::parse(
      text.begin(), text.end(),
      [&judge](int depth, json::parse_event_t event, json& parsed) {
        return judge(depth, event, parsed);
      },
      /*allow_exceptions=*/false);
  if (!judge.problem().empty()) {
    return absl::DataLossError(absl::StrCat(what, " ", judge.problem()));
  }
  if (!document.is_object()) {
    return absl::DataLossError(absl::StrCat(what, " is not a JSON object"));
  }
  return document;
}

absl::StatusOr<std::string> JsonString(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return std::string();
  if (!IsCleanString(*found)) return WrongType(key, "a string");
  return found->get<std::string>();
}

absl::StatusOr<std::vector<std::string>> JsonStrings(const json& object,
                                                     const char* key) {
  std::vector<std::string> strings;
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return strings;
  if (!found->is_array()) return WrongType(key, "a list of strings");
  for (const json& item : *found) {
    if (!IsCleanString(item)) return WrongType(key, "a list of strings");
    strings.push_back(item.get<std::string>());
  }
  return strings;
}

}  // namespace podvisor
