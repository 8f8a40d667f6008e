// Configuration back to TOML; config.h has the contract.

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "cri/config.h"
#include "cri/config_schema.h"

namespace podvisor {
namespace {

// A TOML basic string. Bytes above 127 are UTF-8 and stand for themselves.
std::string Quote(absl::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    const unsigned char byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      absl::StrAppendFormat(&quoted, "\\u%04X", byte);
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

struct Print {
  std::string operator()(const std::string* value) const {
    return Quote(*value);
  }
  std::string operator()(const int64_t* value) const {
    return absl::StrCat(*value);
  }
  std::string operator()(const bool* value) const {
    return *value ? "true" : "false";
  }
  std::string operator()(const absl::Duration* value) const {
    return Quote(absl::FormatDuration(*value));
  }
  std::string operator()(const std::vector<std::string>* value) const {
    return absl::StrCat(
        "[",
        absl::StrJoin(*value, ", ",
                      [](std::string* out, const std::string& item) {
                        absl::StrAppend(out, Quote(item));
                      }),
        "]");
  }
};

// What the reader of the file may write instead.
std::string Alternatives(const ConfigKey& key, const ConfigField& field) {
  if (!key.choices.empty()) {
    return absl::StrCat("One of \"", absl::StrJoin(key.choices, "\", \""),
                        "\".");
  }
  if (std::holds_alternative<int64_t*>(field)) {
    return absl::StrCat(key.min, " to ", key.max, ".");
  }
  if (std::holds_alternative<absl::Duration*>(field)) {
    return absl::StrCat(absl::FormatDuration(absl::Milliseconds(key.min)),
                        " to ",
                        absl::FormatDuration(absl::Milliseconds(key.max)), ".");
  }
  return "";
}

std::string ToToml(Config config, bool with_help) {
  std::string text;
  absl::string_view section;
  for (const ConfigKey& key : ConfigKeys()) {
    if (key.section != section) {
      absl::StrAppend(&text, text.empty() ? "" : "\n", "[", key.section, "]\n");
      section = key.section;
    }
    const ConfigField field = key.field(config);
    if (with_help) {
      absl::StrAppend(&text, "\n");
      for (const absl::string_view line : absl::StrSplit(key.help, '\n')) {
        absl::StrAppend(&text, "# ", line, "\n");
      }
      const std::string alternatives = Alternatives(key, field);
      if (!alternatives.empty()) {
        absl::StrAppend(&text, "# ", alternatives, "\n");
      }
      if (!key.effective) {
        absl::StrAppend(&text, "# Not acted on yet: only the default works.\n");
      }
    }
    absl::StrAppend(&text, key.key, " = ", std::visit(Print{}, field), "\n");
  }
  return text;
}

}  // namespace

std::string EffectiveConfigToml(const Config& config) {
  return ToToml(config, /*with_help=*/false);
}

std::string DefaultConfigFile() {
  return absl::StrCat(
      "# podvisord's configuration. Every value below is the default.\n"
      "# `podvisorctl config` shows the configuration in force and checks this "
      "file.\n\n",
      ToToml(Config(), /*with_help=*/true));
}

}  // namespace podvisor
