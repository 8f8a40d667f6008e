#ifndef PODVISOR_GUESTAGENT_AGENT_OCI_SPEC_H_
#define PODVISOR_GUESTAGENT_AGENT_OCI_SPEC_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/id_mapping.h"
#include "guestagent/agent.pb.h"
#include "guestagent/agent/user_database.h"

namespace podvisor {

// A device node of the guest.
struct DeviceNode {
  std::string path;  // "/dev/vda"
  bool block = false;
  int64_t major = 0;
  int64_t minor = 0;
  uint32_t mode = 0;  // permission bits
};

// A device that a container may use beside those of every container.
struct DeviceGrant {
  DeviceNode node;
  std::string access;  // of "rwm"
};

// What the guest adds to a ContainerSpec. Paths are the guest's.
struct OciEnvironment {
  std::string container_id;
  std::string rootfs;
  std::string ipc_namespace;
  std::string uts_namespace;
  std::string pid_namespace;  // to join; empty: a new one
  // With the pod's user namespace only, whose ids these are.
  std::string user_namespace;
  std::string network_namespace;
  std::optional<IdMapping> ids;
  std::string share_dir;
  // What the image mounts of the spec show, in their order.
  std::vector<std::string> image_paths;
  std::string shm_dir;
  // Bound over the container's, unless the spec has a mount there. Empty: not.
  std::string resolv_conf_file;
  std::string hostname_file;
  std::string hosts_file;
  // What the device mounts of the spec show.
  std::vector<DeviceGrant> grants;
  // Privileged containers only. The major number of the agent's own port,
  // which even they may not open; -1: unknown.
  std::vector<DeviceNode> devices;
  int64_t agent_port_major = -1;
};

// The text of an OCI runtime config.json. Pure.
//
// Every container gets a fresh tmpfs on /dev (CVE-2026-88264), its own mount
// namespace, and its own cgroup namespace unless it is privileged. There is no
// network entry, because the guest's network is the pod's, unless the pod has
// a user namespace, with one that belongs to it. Mounts are ordered so that
// a parent comes before its children. A spec's mount replaces the usual one
// with the same destination.
//
// Errors: InvalidArgument, for everything that crun or the kernel would
// misunderstand: text with NUL or that is not UTF-8, relative paths, names of
// a share that are not [a-z0-9-]+, mounts over "/", "/dev" and "/proc", devices
// outside of /dev, unknown options of a mount, a
// working directory in /proc (CVE-2024-21626), unknown capabilities and
// rlimits, a seccomp profile that is no OCI object, a user or group that the
// pod's user namespace does not have.
absl::StatusOr<std::string> BuildOciConfig(const agent::v1::ContainerSpec& spec,
                                           const ResolvedUser& user,
                                           const OciEnvironment& environment);

// The `process` of a config.json, changed to run `args` for an exec: same
// user, groups, capabilities, environment and directory. Pure.
// InvalidArgument for unusable args, Internal for a broken config.
absl::StatusOr<std::string> BuildExecProcess(
    absl::string_view config_json, const std::vector<std::string>& args,
    bool tty);

// True for the name of an entry of the pod's share: [a-z0-9-]+.
bool IsShareName(absl::string_view name);

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_OCI_SPEC_H_
