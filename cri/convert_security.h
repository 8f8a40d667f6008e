#ifndef PODVISOR_CRI_CONVERT_SECURITY_H_
#define PODVISOR_CRI_CONVERT_SECURITY_H_

#include "absl/status/statusor.h"
#include "cri/convert_container.h"
#include "sandbox/record/container_spec.h"
#include "third_party/cri_api/api.pb.h"

namespace podvisor {

// The part of ConvertContainer() about LinuxContainerSecurityContext.
// `pod_may_be_privileged` is the sandbox's own `privileged`.
absl::StatusOr<SecuritySpec> ConvertSecurity(
    const runtime::v1::LinuxContainerSecurityContext& security,
    bool pod_may_be_privileged);

// Unset and Unconfined are the same; a privileged container has none.
// InvalidArgument for a Localhost profile without an absolute path: it must
// never become "unconfined" (CVE-2023-2431).
absl::StatusOr<SeccompChoice> ConvertSeccomp(
    const runtime::v1::LinuxContainerSecurityContext& security);

}  // namespace podvisor

#endif  // PODVISOR_CRI_CONVERT_SECURITY_H_
