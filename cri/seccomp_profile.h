#ifndef PODVISOR_CRI_SECCOMP_PROFILE_H_
#define PODVISOR_CRI_SECCOMP_PROFILE_H_

#include <string>

#include "absl/status/statusor.h"
#include "cri/convert_container.h"
#include "sandbox/record/container_spec.h"

namespace podvisor {

// The file that Debian's golang-github-containers-common brings.
inline constexpr char kDefaultSeccompPath[] =
    "/usr/share/containers/seccomp.json";

// The profile that RuntimeDefault means on this host, in the form that
// seccomp_rules.h converts. InvalidArgument when the file is missing, or is
// none that can be used.
absl::StatusOr<std::string> ReadDefaultSeccomp(const std::string& path);

// The OCI JSON of the profile that a container asked for; empty: unconfined.
// `runtime_default` is ReadDefaultSeccomp()'s answer; it is cut to what the
// container's capabilities allow, as `security` will have them in the guest.
//
// A Localhost profile is read from the host, at most 1 MiB, and must be a JSON
// object. Never unconfined by accident: an empty, missing or unreadable profile
// is an error.
//
// Errors: InvalidArgument (file missing, empty, too long, not JSON),
// FailedPrecondition (no runtime default on this host).
absl::StatusOr<std::string> LoadSeccompProfile(
    const SeccompChoice& choice,
    const absl::StatusOr<std::string>& runtime_default,
    const SecuritySpec& security);

}  // namespace podvisor

#endif  // PODVISOR_CRI_SECCOMP_PROFILE_H_
