#include "cri/blkio_annotation.h"

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/clean_text.h"
#include "base/status_macros.h"
#include "cri/field_check.h"
#include "nlohmann/json.hpp"

namespace podvisor {
namespace {

using nlohmann::json;

constexpr size_t kMaxBytes = 64 << 10;
// The object, its list, an entry, its list, a limit.
constexpr int kMaxDepth = 5;
constexpr size_t kMaxDevices = 64;

absl::Status Wrong(absl::string_view where, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", what));
}

std::string Item(absl::string_view where, absl::string_view list, size_t i) {
  return absl::StrCat(where, list, "[", i, "]");
}

// The parser takes the last of several keys of one name; here that is an error.
absl::StatusOr<json> ParseStrictly(absl::string_view text) {
  if (text.size() > kMaxBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("is longer than ", kMaxBytes, " bytes"));
  }
  std::string wrong;
  std::vector<std::set<std::string>> keys(kMaxDepth + 1);
  const json::parser_callback_t check = [&](int depth,
                                            json::parse_event_t event,
                                            json& value) {
    const bool opens = event == json::parse_event_t::object_start ||
                       event == json::parse_event_t::array_start;
    if (opens && depth >= kMaxDepth) {
      wrong = "is nested too deep";
    } else if (opens) {
      keys[depth + 1].clear();
    } else if (event == json::parse_event_t::key && depth <= kMaxDepth &&
               !keys[depth].insert(value.get<std::string>()).second) {
      wrong = absl::StrCat("has the key \"",
                           CleanText(value.get<std::string>(), 64), "\" twice");
    }
    return true;
  };
  json parsed = json::parse(text.begin(), text.end(), check,
                            /*allow_exceptions=*/false);
  if (!wrong.empty()) return absl::InvalidArgumentError(wrong);
  if (parsed.is_discarded()) {
    return absl::InvalidArgumentError("is not valid JSON");
  }
  return parsed;
}

// `value` is an object with these keys and no others.
absl::Status CheckKeys(const json& value, absl::string_view where,
                       std::initializer_list<absl::string_view> required,
                       std::initializer_list<absl::string_view> optional = {}) {
  if (!value.is_object()) return Wrong(where, "is not an object");
  for (const absl::string_view key : required) {
    if (!value.contains(std::string(key))) {
      return Wrong(where, absl::StrCat("\"", key, "\" is missing"));
    }
  }
  for (const auto& [key, member] : value.items()) {
    if (std::count(required.begin(), required.end(), key) == 0 &&
        std::count(optional.begin(), optional.end(), key) == 0) {
      return Wrong(where,
                   absl::StrCat("\"", CleanText(key, 64), "\" is not known"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckList(const json& value, absl::string_view where) {
  if (!value.is_array()) return Wrong(where, "is not a list");
  if (value.empty()) return Wrong(where, "is empty");
  if (value.size() > kMaxDevices) {
    return Wrong(where, absl::StrCat("has ", value.size(), " items; at most ",
                                     kMaxDevices, " are allowed"));
  }
  return absl::OkStatus();
}

absl::StatusOr<BlockIoType> ParseType(const json& value,
                                      absl::string_view where) {
  const std::string name = value.is_string() ? value.get<std::string>() : "";
  const auto* const found = std::find(std::begin(kBlockIoTypeNames),
                                      std::end(kBlockIoTypeNames), name);
  if (found == std::end(kBlockIoTypeNames)) {
    return Wrong(where, absl::StrCat("must be one of ",
                                     absl::StrJoin(kBlockIoTypeNames, ", ")));
  }
  return static_cast<BlockIoType>(found - std::begin(kBlockIoTypeNames));
}

// What the kernel takes. For a throttle 0 would mean no limit at all.
std::pair<int64_t, int64_t> RangeOf(BlockIoType type) {
  switch (type) {
    case BlockIoType::kReadBytes:
    case BlockIoType::kWriteBytes:
      return {1, std::numeric_limits<int64_t>::max()};
    case BlockIoType::kReadOperations:
    case BlockIoType::kWriteOperations:
      return {1, std::numeric_limits<uint32_t>::max()};
    case BlockIoType::kWeight:
    case BlockIoType::kLeafWeight:
      return {10, 1000};
  }
  return {1, 0};
}

absl::StatusOr<int64_t> ParseValue(const json& value, BlockIoType type,
                                   absl::string_view where) {
  const auto [least, most] = RangeOf(type);
  // Every number without sign, point and exponent is an unsigned one.
  const uint64_t number =
      value.is_number_unsigned() ? value.get<uint64_t>() : 0;
  if (number < static_cast<uint64_t>(least) ||
      number > static_cast<uint64_t>(most)) {
    return Wrong(where, absl::StrCat("must be a whole number from ", least,
                                     " to ", most, " for ", NameOf(type)));
  }
  return static_cast<int64_t>(number);
}

absl::StatusOr<BlockIoLimit> ParseLimit(const json& value,
                                        const std::string& device,
                                        absl::string_view where) {
  RETURN_IF_ERROR(CheckKeys(value, where, {"type", "value"}));
  BlockIoLimit limit;
  limit.device = device;
  ASSIGN_OR_RETURN(limit.type,
                   ParseType(value["type"], absl::StrCat(where, ".type")));
  ASSIGN_OR_RETURN(limit.value, ParseValue(value["value"], limit.type,
                                           absl::StrCat(where, ".value")));
  const bool throttle = limit.type != BlockIoType::kWeight &&
                        limit.type != BlockIoType::kLeafWeight;
  if (throttle && device.empty()) {
    return Wrong(where, absl::StrCat(NameOf(limit.type), " needs a \"path\""));
  }
  return limit;
}

absl::StatusOr<std::string> ParsePath(const json& entry,
                                      absl::string_view where) {
  if (!entry.contains("path")) return std::string();
  const json& value = entry["path"];
  if (!value.is_string()) return Wrong(where, "is not a string");
  const std::string path = value.get<std::string>();
  RETURN_IF_ERROR(CheckAbsolutePath(where, path));
  // Elsewhere, a look at it might hang, as on a network's file system.
  if (!absl::StartsWith(path, "/dev/")) {
    return Wrong(where, "is not below /dev");
  }
  return path;
}

absl::Status ParseEntry(const json& entry, const std::string& where,
                        std::vector<BlockIoLimit>* limits) {
  RETURN_IF_ERROR(CheckKeys(entry, where, {"limits"}, {"path"}));
  ASSIGN_OR_RETURN(const std::string device,
                   ParsePath(entry, absl::StrCat(where, ".path")));
  const json& list = entry["limits"];
  RETURN_IF_ERROR(CheckList(list, absl::StrCat(where, ".limits")));
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string place = Item(where, ".limits", i);
    ASSIGN_OR_RETURN(BlockIoLimit limit, ParseLimit(list[i], device, place));
    for (const BlockIoLimit& other : *limits) {
      if (other.type == limit.type && other.device == limit.device) {
        return Wrong(place,
                     absl::StrCat(NameOf(limit.type), " is given twice"));
      }
    }
    limits->push_back(std::move(limit));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<BlockIoLimit>> ParseBlkioAnnotation(
    absl::string_view text) {
  ASSIGN_OR_RETURN(const json parsed, ParseStrictly(text));
  RETURN_IF_ERROR(CheckKeys(parsed, "the value", {"blkiocgroup"}));
  const json& list = parsed["blkiocgroup"];
  RETURN_IF_ERROR(CheckList(list, "blkiocgroup"));
  std::vector<BlockIoLimit> limits;
  for (size_t i = 0; i < list.size(); ++i) {
    RETURN_IF_ERROR(ParseEntry(list[i], Item("", "blkiocgroup", i), &limits));
  }
  return limits;
}

}  // namespace podvisor
