#ifndef PODVISOR_CRI_CONVERT_CONTAINER_H_
#define PODVISOR_CRI_CONVERT_CONTAINER_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "sandbox/record/container_spec.h"
#include "third_party/cri_api/api.pb.h"

namespace podvisor {

// Which seccomp profile a container asks for. Reading it is an effect:
// seccomp_profile.h.
struct SeccompChoice {
  enum class Kind { kUnconfined, kRuntimeDefault, kLocalhost };
  Kind kind = Kind::kUnconfined;
  std::string path;  // absolute, with kLocalhost

  bool operator==(const SeccompChoice&) const = default;
};

struct ConvertedContainer {
  // security.seccomp_profile is still empty.
  ContainerSpec spec;
  SeccompChoice seccomp;

  bool operator==(const ConvertedContainer&) const = default;
};

// What CreateContainer asks for, checked and as values. `sandbox_config` is the
// request's; only it says whether the pod may have privileged containers. Pure:
// nothing here looks at a path.
//
// env values are bytes and may be no UTF-8; they are carried as they are.
//
// Errors:
//   InvalidArgument  the request is malformed, or asks for what no VM can do.
//   Unimplemented    a legal request for what Podvisor does not have (devices
//                    of the host, CDI, SELinux, AppArmor profiles); never
//                    ignored silently.
absl::StatusOr<ConvertedContainer> ConvertContainer(
    const runtime::v1::ContainerConfig& config,
    const runtime::v1::PodSandboxConfig& sandbox_config);

}  // namespace podvisor

#endif  // PODVISOR_CRI_CONVERT_CONTAINER_H_
