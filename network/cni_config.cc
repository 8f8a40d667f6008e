#include "network/cni_config.h"

#include <dirent.h>
#include <errno.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/bounded_json.h"
#include "base/clean_text.h"
#include "base/errno_status.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"

namespace podvisor {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxBytes = 1 << 20;
constexpr size_t kMaxPlugins = 32;
constexpr size_t kMaxFiles = 1000;
// In order.
constexpr absl::string_view kVersions[] = {"0.3.0", "0.3.1", "0.4.0", "1.0.0",
                                           "1.1.0"};

// As the specification has it for network names; good for file names too.
bool IsPlainName(absl::string_view name) {
  return !name.empty() && name.size() <= 128 &&
         absl::ascii_isalnum(static_cast<unsigned char>(name[0])) &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
         });
}

absl::StatusOr<CniPlugin> ReadPlugin(const Json& from) {
  if (!from.is_object()) return absl::DataLossError("a plugin is no object");
  CniPlugin plugin;
  ASSIGN_OR_RETURN(plugin.type, JsonString(from, "type"));
  if (!IsPlainName(plugin.type)) {
    return absl::DataLossError(absl::StrCat("plugin type \"",
                                            CleanText(plugin.type, 80),
                                            "\": is not a plain name"));
  }
  if (const auto found = from.find("capabilities"); found != from.end()) {
    if (!found->is_object()) {
      return absl::DataLossError("capabilities: is no object");
    }
    for (const auto& [name, value] : found->items()) {
      if (value.is_boolean() && value.get<bool>()) {
        plugin.capabilities.insert(name);
      }
    }
  }
  plugin.json = from.dump();
  return plugin;
}

// A single plugin's configuration as a list.
Json AsList(Json single) {
  Json list = {{"name", single.value("name", Json())},
               {"cniVersion", single.value("cniVersion", Json())}};
  list["plugins"] = Json::array({std::move(single)});
  return list;
}

// Older lists have it as a text.
bool IsSet(const Json& list, const char* option) {
  const auto found = list.find(option);
  return found != list.end() && (*found == true || *found == "true");
}

bool IsConfigFile(absl::string_view name) {
  return absl::EndsWith(name, ".conf") || absl::EndsWith(name, ".conflist") ||
         absl::EndsWith(name, ".json");
}

absl::StatusOr<std::vector<std::string>> ConfigFiles(
    const std::string& directory) {
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(opendir(directory.c_str()),
                                                    closedir);
  if (entries == nullptr) return ErrnoStatus(errno, directory);
  std::vector<std::string> names;
  while (const dirent* entry = readdir(entries.get())) {
    if (IsConfigFile(entry->d_name)) names.push_back(entry->d_name);
    if (names.size() > kMaxFiles) {
      return absl::ResourceExhaustedError(
          absl::StrCat(directory, ": more than ", kMaxFiles, " files"));
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

bool CniVersionAtLeast(absl::string_view version, absl::string_view other) {
  const auto place = [](absl::string_view of) {
    return std::find(std::begin(kVersions), std::end(kVersions), of);
  };
  return place(version) != std::end(kVersions) &&
         place(version) >= place(other);
}

absl::StatusOr<CniConfigList> ParseCniConfig(absl::string_view text) {
  ASSIGN_OR_RETURN(Json json, ParseBoundedJson(text, kMaxBytes, "CNI"));
  if (!json.contains("plugins")) json = AsList(std::move(json));
  CniConfigList list;
  ASSIGN_OR_RETURN(list.name, JsonString(json, "name"));
  if (!IsPlainName(list.name)) {
    return absl::DataLossError(absl::StrCat("name \"", CleanText(list.name, 80),
                                            "\": is not a network's name"));
  }
  ASSIGN_OR_RETURN(list.version, JsonString(json, "cniVersion"));
  if (!CniVersionAtLeast(list.version, kVersions[0])) {
    return absl::InvalidArgumentError(
        absl::StrCat("cniVersion \"", CleanText(list.version, 20),
                     "\": is none of ", absl::StrJoin(kVersions, ", ")));
  }
  list.disable_check = IsSet(json, "disableCheck");
  list.disable_gc = IsSet(json, "disableGC");
  const Json& plugins = json["plugins"];
  if (!plugins.is_array() || plugins.empty() || plugins.size() > kMaxPlugins) {
    return absl::DataLossError(
        absl::StrCat("plugins: is no list of 1 to ", kMaxPlugins));
  }
  for (const Json& plugin : plugins) {
    ASSIGN_OR_RETURN(CniPlugin read, ReadPlugin(plugin));
    list.plugins.push_back(std::move(read));
  }
  list.json = json.dump();
  return list;
}

absl::StatusOr<CniConfigList> LoadCniConfig(const std::string& directory) {
  const absl::StatusOr<std::vector<std::string>> names = ConfigFiles(directory);
  if (!names.ok()) return absl::NotFoundError(names.status().message());
  std::string first_problem;
  for (const std::string& name : *names) {
    const std::string path = absl::StrCat(directory, "/", name);
    absl::StatusOr<std::string> text = ReadFile(path, kMaxBytes);
    absl::StatusOr<CniConfigList> list =
        text.ok() ? ParseCniConfig(*text) : text.status();
    if (list.ok()) return list;
    if (first_problem.empty()) {
      first_problem =
          CleanText(absl::StrCat(path, ": ", list.status().message()), 512);
    }
  }
  return absl::NotFoundError(
      first_problem.empty()
          ? absl::StrCat(directory, " has no network configuration")
          : first_problem);
}

absl::StatusOr<std::string> FindCniPlugin(
    const std::vector<std::string>& bin_dirs, const std::string& type) {
  for (const std::string& directory : bin_dirs) {
    const std::string path = absl::StrCat(directory, "/", type);
    if (access(path.c_str(), X_OK) == 0) return path;
  }
  return absl::NotFoundError(absl::StrCat("the CNI plugin \"", type,
                                          "\" is in none of ",
                                          absl::StrJoin(bin_dirs, ", ")));
}

}  // namespace podvisor
