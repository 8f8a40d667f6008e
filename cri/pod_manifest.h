#ifndef PODVISOR_CRI_POD_MANIFEST_H_
#define PODVISOR_CRI_POD_MANIFEST_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace podvisor {

// The parts of a Kubernetes Pod manifest that `podvisorctl run` can act on, as
// values.

struct ManifestVolumeMount {
  std::string host_path;
  std::string mount_path;
  bool read_only = false;
};

struct ManifestContainer {
  std::string name;
  std::string image;
  std::vector<std::string> command;
  std::vector<std::string> args;
  std::string working_dir;
  std::vector<std::pair<std::string, std::string>> env;
  std::vector<ManifestVolumeMount> mounts;
  int64_t cpu_limit_millis = 0;  // 0: none
  int64_t cpu_request_millis = 0;
  int64_t memory_limit_bytes = 0;
  bool stdin = false;
  bool tty = false;
  bool privileged = false;
  bool read_only_root = false;
  bool allow_privilege_escalation = true;
  std::optional<int64_t> run_as_user;
  std::optional<int64_t> run_as_group;
  std::vector<std::string> add_capabilities;
  std::vector<std::string> drop_capabilities;
};

struct PodManifest {
  std::string name;
  std::string name_space = "default";
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> annotations;
  std::string hostname;
  bool host_network = false;
  bool host_pid = false;
  bool host_ipc = false;
  bool host_users = true;
  bool share_process_namespace = false;
  std::string runtime_class;
  std::map<std::string, std::string> sysctls;
  std::vector<ManifestContainer> containers;
  // Fields that are legal and have no effect without Kubernetes, one line each.
  std::vector<std::string> warnings;
};

// Parses one YAML document. Pure; `file` only names it in messages.
//
// InvalidArgument with "FILE:LINE: PATH: what is wrong" for bad YAML, a wrong
// type, an unknown field, and a field that would change what runs but cannot
// be honoured (init containers, volumes other than hostPath, ...).
absl::StatusOr<PodManifest> ParsePodManifest(absl::string_view yaml,
                                             absl::string_view file);

}  // namespace podvisor

#endif  // PODVISOR_CRI_POD_MANIFEST_H_
