#ifndef PODVISOR_SANDBOX_RECORD_CONTAINER_SPEC_H_
#define PODVISOR_SANDBOX_RECORD_CONTAINER_SPEC_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/id_mapping.h"
#include "hotplug/container_resources.h"
#include "sandbox/record/pod_spec.h"

namespace podvisor {

// Values: one container as the client asked for it. See pod_spec.h.

struct MountSpec {
  std::string container_path;
  std::string host_path;  // empty where an image is mounted
  bool read_only = false;
  bool recursive_read_only = false;
  bool slave = false;  // PROPAGATION_HOST_TO_CONTAINER
  // Files of the host's user 0 are seen as root's in the pod's user namespace,
  // and so on; without it they have their owner's own number.
  std::optional<IdMapping> ids = std::nullopt;
  // An image volume, always read-only: the image as given to CreateContainer,
  // what is to be seen of it (a relative path; empty: all), and which image it
  // was found to be.
  std::string image = "";
  std::string image_sub_path = "";
  std::string image_id = "";              // "sha256:<hex>"
  std::vector<std::string> options = {};  // "noexec", "nodev", "nosuid"

  bool operator==(const MountSpec&) const = default;
};

// A device of the VM's own kernel, by the name that it has on the host too.
struct DeviceSpec {
  std::string container_path;
  std::string path;    // "/dev/fuse"
  std::string access;  // of "rwm", each once

  bool operator==(const DeviceSpec&) const = default;
};

struct SecuritySpec {
  std::optional<int64_t> run_as_user;
  std::optional<int64_t> run_as_group;
  std::string run_as_username;
  std::vector<int64_t> supplemental_groups;
  bool strict_supplemental_groups = false;
  bool privileged = false;
  bool read_only_root = false;
  bool no_new_privileges = false;
  std::vector<std::string> add_capabilities;
  std::vector<std::string> drop_capabilities;
  std::vector<std::string> add_ambient_capabilities;
  std::vector<std::string> masked_paths;
  std::vector<std::string> readonly_paths;
  NamespaceMode pid_namespace = NamespaceMode::kPod;
  std::string pid_target;       // container id, with NamespaceMode::kTarget
  std::string seccomp_profile;  // OCI JSON; empty: unconfined

  bool operator==(const SecuritySpec&) const = default;
};

struct ContainerSpec {
  std::string name;
  uint32_t attempt = 0;
  std::string image;       // as given to CreateContainer
  std::string user_image;  // image.user_specified_image, or `image`
  std::vector<std::string> command;
  std::vector<std::string> args;
  std::string working_dir;
  std::vector<std::string> env;  // "NAME=value"
  std::vector<MountSpec> mounts;
  std::vector<DeviceSpec> devices;
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> annotations;
  std::string log_path;  // below PodSpec::log_directory; empty: no log
  bool stdin = false;
  bool stdin_once = false;
  bool tty = false;
  std::string stop_signal;  // "SIGTERM"; empty: the image's
  ContainerResources resources;
  SecuritySpec security;

  bool operator==(const ContainerSpec&) const = default;
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_RECORD_CONTAINER_SPEC_H_
