#ifndef PODVISOR_NETWORK_CNI_CONFIG_H_
#define PODVISOR_NETWORK_CNI_CONFIG_H_

#include <set>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace podvisor {

// Of a network configuration, one plugin's part.
struct CniPlugin {
  std::string type;                    // a plain file name
  std::set<std::string> capabilities;  // those that are true
  std::string json;                    // the whole object

  bool operator==(const CniPlugin&) const = default;
};

// A network configuration list of the CNI specification 1.1.0, section 1. A
// value.
struct CniConfigList {
  std::string name;
  std::string version;  // "0.3.0" to "1.1.0"
  bool disable_check = false;
  bool disable_gc = false;  // others have attachments to this network too
  std::vector<CniPlugin> plugins;  // at least one
  std::string json;                // the whole list; parses to the same value

  bool operator==(const CniConfigList&) const = default;
};

// Parses a list (.conflist), or a configuration of a single plugin (.conf),
// which becomes a list of one. Pure.
//
// Somebody else's file: at most 1 MiB and 32 plugins; types are plain names, so
// that no configuration runs what is outside of cni_bin_dirs. Errors: DataLoss,
// or InvalidArgument for a version that is not supported.
absl::StatusOr<CniConfigList> ParseCniConfig(absl::string_view text);

// The first valid configuration of a directory in the order of the file names,
// of files that end with .conf, .conflist or .json, as other runtimes choose.
// Read anew each time: whoever changes the network is noticed without a
// restart.
//
// Errors: NotFound, with the reason in words: the directory is missing or
// empty, or why the first file in it is not valid.
absl::StatusOr<CniConfigList> LoadCniConfig(const std::string& directory);

// Where the plugin is; NotFound when none of the directories has it.
absl::StatusOr<std::string> FindCniPlugin(
    const std::vector<std::string>& bin_dirs, const std::string& type);

// Whether the version is at least `other`, both of CniConfigList::version.
bool CniVersionAtLeast(absl::string_view version, absl::string_view other);

}  // namespace podvisor

#endif  // PODVISOR_NETWORK_CNI_CONFIG_H_
