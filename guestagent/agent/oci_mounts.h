#ifndef PODVISOR_GUESTAGENT_AGENT_OCI_MOUNTS_H_
#define PODVISOR_GUESTAGENT_AGENT_OCI_MOUNTS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "guestagent/agent.pb.h"
#include "guestagent/agent/oci_spec.h"

namespace podvisor {

// One entry of `mounts` in an OCI config.
struct OciMount {
  std::string destination;
  std::string type;
  std::string source;
  std::vector<std::string> options;
};

// The mounts of a container, parents before children. See BuildOciConfig.
// Pure. InvalidArgument.
absl::StatusOr<std::vector<OciMount>> PlanMounts(
    const agent::v1::ContainerSpec& spec, const OciEnvironment& environment);

// An absolute path without empty, "." and ".." components and without a slash
// at the end. InvalidArgument for a relative path, one with NUL, and one
// that is longer than PATH_MAX.
absl::StatusOr<std::string> NormalizePath(absl::string_view path);

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_OCI_MOUNTS_H_
