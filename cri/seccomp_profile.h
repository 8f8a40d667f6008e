#ifndef PODVISOR_CRI_SECCOMP_PROFILE_H_
#define PODVISOR_CRI_SECCOMP_PROFILE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "cri/convert_container.h"

namespace podvisor {

// The OCI JSON of the profile that a container asked for; empty: unconfined.
// `runtime_default` is the text for RuntimeDefault.
//
// A Localhost profile is read from the host, at most 1 MiB, and must be a JSON
// object. Never unconfined by accident: an empty, missing or unreadable profile
// is an error.
//
// Errors: InvalidArgument (file missing, empty, too long, not JSON),
// FailedPrecondition (no runtime default on this host).
absl::StatusOr<std::string> LoadSeccompProfile(
    const SeccompChoice& choice, absl::string_view runtime_default);

}  // namespace podvisor

#endif  // PODVISOR_CRI_SECCOMP_PROFILE_H_
