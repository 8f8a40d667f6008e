#include "cri/config.h"

#include <stdexcept>
#include <string_view>

namespace {

// toml++ 3.3 asserts what a broken file makes untrue, and in a release build
// tells the compiler to assume it. Here a failed assertion ends the parse
// instead; the one below guards a check that gives a better message.
constexpr void CheckTomlAssertion(bool holds, std::string_view expression) {
  if (holds ||
      expression == "is_bare_key_character(*cp) || is_string_delimiter(*cp)") {
    return;
  }
  throw std::logic_error("the parser cannot make sense of it");
}

}  // namespace

#undef NDEBUG
#define TOML_ASSERT(expr) CheckTomlAssertion(static_cast<bool>(expr), #expr)
#define TOML_EXCEPTIONS 1
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/clean_text.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "cri/config_schema.h"
#include "cri/near_miss.h"

namespace podvisor {
namespace {

constexpr size_t kMaxFileBytes = 1 << 20;
constexpr size_t kMaxMistakes = 20;

// Collects one line for each mistake.
class Mistakes {
 public:
  explicit Mistakes(absl::string_view file) : file_(file) {}

  void Add(const toml::source_position& at, absl::string_view what,
           absl::string_view message) {
    lines_.push_back(absl::StrCat(file_, ":", at.line, ":", at.column, ": ",
                                  what, what.empty() ? "" : ": ",
                                  CleanText(message, 512)));
  }

  absl::Status ToStatus() const {
    if (lines_.empty()) return absl::OkStatus();
    std::vector<std::string> shown = lines_;
    if (shown.size() > kMaxMistakes) {
      shown.resize(kMaxMistakes);
      shown.push_back(
          absl::StrCat("and ", lines_.size() - kMaxMistakes, " more"));
    }
    return absl::InvalidArgumentError(absl::StrJoin(shown, "\n"));
  }

 private:
  std::string file_;
  std::vector<std::string> lines_;
};

const ConfigKey* FindKey(absl::string_view section, absl::string_view key) {
  for (const ConfigKey& candidate : ConfigKeys()) {
    if (candidate.section == section && candidate.key == key) return &candidate;
  }
  return nullptr;
}

// True for "hypervisor", which holds nothing but sections.
bool IsSectionOrParent(absl::string_view path) {
  for (const ConfigKey& key : ConfigKeys()) {
    if (key.section == path ||
        absl::StartsWith(key.section, absl::StrCat(path, "."))) {
      return true;
    }
  }
  return false;
}

std::string UnknownSection(absl::string_view path) {
  std::vector<absl::string_view> sections;
  for (const ConfigKey& key : ConfigKeys()) {
    if (sections.empty() || sections.back() != key.section) {
      sections.push_back(key.section);
    }
  }
  std::string message = absl::StrCat("there is no section [", path, "]");
  const absl::string_view near = NearestName(path, sections);
  if (!near.empty()) {
    absl::StrAppend(&message, "; did you mean [", near, "]?");
  } else {
    absl::StrAppend(&message, "; the sections are [",
                    absl::StrJoin(sections, "], ["), "]");
  }
  return message;
}

std::string UnknownKey(absl::string_view section, absl::string_view name) {
  std::vector<absl::string_view> here;
  for (const ConfigKey& key : ConfigKeys()) {
    if (key.section == section) here.push_back(key.key);
    if (key.key == name) {
      return absl::StrCat("there is no such key here; it belongs in [",
                          key.section, "]");
    }
  }
  const absl::string_view near = NearestName(name, here);
  if (!near.empty()) {
    return absl::StrCat("there is no such key; did you mean \"", near, "\"?");
  }
  return absl::StrCat("there is no such key; the keys here are ",
                      here.empty() ? "none" : absl::StrJoin(here, ", "));
}

absl::string_view TypeName(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::string:
      return "a string";
    case toml::node_type::integer:
      return "an integer";
    case toml::node_type::boolean:
      return "a boolean";
    case toml::node_type::floating_point:
      return "a number with a fraction";
    case toml::node_type::array:
      return "an array";
    case toml::node_type::table:
      return "a table";
    default:
      return "a date or time";
  }
}

absl::Status WrongType(const toml::node& node, absl::string_view right) {
  return absl::InvalidArgumentError(
      absl::StrCat("is ", TypeName(node), "; ", right, " is right"));
}

// Puts a TOML value into its field, or says which type is right.
struct Assign {
  const toml::node& node;

  absl::Status operator()(std::string* field) const {
    const auto* value = node.as_string();
    if (value == nullptr) return WrongType(node, "a string in quotes");
    *field = value->get();
    return absl::OkStatus();
  }
  absl::Status operator()(int64_t* field) const {
    const auto* value = node.as_integer();
    if (value == nullptr) return WrongType(node, "an integer without quotes");
    *field = value->get();
    return absl::OkStatus();
  }
  absl::Status operator()(bool* field) const {
    const auto* value = node.as_boolean();
    if (value == nullptr) return WrongType(node, "true or false");
    *field = value->get();
    return absl::OkStatus();
  }
  absl::Status operator()(absl::Duration* field) const {
    const auto* value = node.as_string();
    if (value == nullptr) {
      return WrongType(node, "a duration in quotes, for example \"5s\",");
    }
    absl::Duration parsed;
    if (!absl::ParseDuration(value->get(), &parsed)) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", value->get(),
                       "\" is not a duration; write for example \"5s\""));
    }
    *field = parsed;
    return absl::OkStatus();
  }
  absl::Status operator()(std::vector<std::string>* field) const {
    const auto* array = node.as_array();
    if (array == nullptr) return WrongType(node, "an array of strings");
    std::vector<std::string> items;
    for (const toml::node& item : *array) {
      const auto* text = item.as_string();
      if (text == nullptr) {
        return absl::InvalidArgumentError(absl::StrCat(
            "has an item that is ", TypeName(item), "; strings are right"));
      }
      items.push_back(text->get());
    }
    *field = std::move(items);
    return absl::OkStatus();
  }
};

using KeyPositions = std::map<std::pair<absl::string_view, absl::string_view>,
                              toml::source_position>;

class Reader {
 public:
  Reader(absl::string_view file, Config& config)
      : mistakes_(file), config_(config) {}

  // `depth` is bounded by the schema: an unknown section is not entered.
  void ReadTable(const toml::table& table, const std::string& section) {
    for (const auto& [name, node] : table) {
      const std::string key(name.str());
      const std::string path =
          section.empty() ? key : absl::StrCat(section, ".", key);
      const toml::source_position at = name.source().begin;
      if (const ConfigKey* known = FindKey(section, key); known != nullptr) {
        ReadValue(*known, node, at);
      } else if (node.is_table() && IsSectionOrParent(path)) {
        ReadTable(*node.as_table(), path);
      } else if (IsSectionOrParent(path)) {
        mistakes_.Add(at, CleanText(path, 128),
                      absl::StrCat("is ", TypeName(node),
                                   "; it is a section: [", path, "]"));
      } else if (node.is_table()) {
        mistakes_.Add(at, "", UnknownSection(path));
      } else {
        mistakes_.Add(at, CleanText(path, 128), UnknownKey(section, key));
      }
    }
  }

  absl::Status Finish() {
    // A conflict between values that are wrong by themselves helps nobody.
    if (absl::Status status = mistakes_.ToStatus(); !status.ok()) return status;
    for (const ConfigConflict& conflict : FindConflicts(config_)) {
      const auto at = positions_.find({conflict.section, conflict.key});
      mistakes_.Add(
          at == positions_.end() ? toml::source_position{1, 1} : at->second,
          absl::StrCat(conflict.section, ".", conflict.key), conflict.message);
    }
    return mistakes_.ToStatus();
  }

 private:
  void ReadValue(const ConfigKey& key, const toml::node& node,
                 const toml::source_position& at) {
    const std::string path = absl::StrCat(key.section, ".", key.key);
    positions_[{key.section, key.key}] = at;
    const Config before = config_;
    absl::Status status = std::visit(Assign{node}, key.field(config_));
    if (status.ok()) status = CheckConfigValue(key, config_);
    if (!status.ok()) {
      mistakes_.Add(at, path, status.message());
    } else if (!key.effective && !(config_ == before)) {
      mistakes_.Add(at, path, "this version does not act on it yet; remove it");
    }
  }

  Mistakes mistakes_;
  Config& config_;
  KeyPositions positions_;
};

}  // namespace

absl::StatusOr<Config> ParseConfig(absl::string_view toml,
                                   absl::string_view file) {
  toml::table table;
  try {
    table = toml::parse(std::string_view(toml.data(), toml.size()));
  } catch (const toml::parse_error& error) {
    const std::string_view why = error.description();
    Mistakes mistakes(file);
    mistakes.Add(error.source().begin, "",
                 absl::StrCat("this is not TOML: ",
                              absl::string_view(why.data(), why.size())));
    return mistakes.ToStatus();
  } catch (const std::exception& error) {
    Mistakes mistakes(file);
    mistakes.Add({1, 1}, "", absl::StrCat("this is not TOML: ", error.what()));
    return mistakes.ToStatus();
  }
  Config config;
  Reader reader(file, config);
  reader.ReadTable(table, "");
  RETURN_IF_ERROR(reader.Finish());
  return config;
}

absl::StatusOr<Config> LoadConfig(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxFileBytes));
  return ParseConfig(text, path);
}

}  // namespace podvisor
