#include "sandbox/record/json_fields.h"

#include <algorithm>

namespace podvisor {
namespace {

// How deep arrays and objects nest. Strings are skipped; wrong JSON may give
// any number, and is refused by the parser.
int NestingDepth(absl::string_view text) {
  int depth = 0;
  int deepest = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      deepest = std::max(deepest, ++depth);
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return deepest;
}

}  // namespace

absl::StatusOr<nlohmann::json> ParseJsonObject(absl::string_view text,
                                               size_t max_bytes,
                                               int max_depth) {
  if (text.size() > max_bytes) return absl::DataLossError("JSON is too long");
  if (NestingDepth(text) > max_depth) {
    return absl::DataLossError("JSON is nested too deep");
  }
  nlohmann::json value =
      nlohmann::json::parse(text.begin(), text.end(), nullptr,
                            /*allow_exceptions=*/false);
  if (value.is_discarded()) return absl::DataLossError("not valid JSON");
  if (!value.is_object()) return absl::DataLossError("not a JSON object");
  return value;
}

}  // namespace podvisor
