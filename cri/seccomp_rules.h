#ifndef PODVISOR_CRI_SECCOMP_RULES_H_
#define PODVISOR_CRI_SECCOMP_RULES_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace podvisor {

// Turns a seccomp profile in the form of Docker and containers-common, which
// has conditions, into the OCI's, which has none, for one container on x86-64.
// Pure. Of a rule's conditions:
//   includes.arches, excludes.arches        Go's names; ours is "amd64"
//   includes.caps, excludes.caps            `granted` is asked
//   includes.minKernel, excludes.minKernel  compared with the guest's, 6.1
// A rule stays when it is included by all and excluded by none.
//
// Errors: InvalidArgument for what is no such profile, has no entry for
// x86-64, or has a rule that would not survive the journey; nothing is dropped
// that this function does not understand.
absl::StatusOr<std::string> ToOciSeccomp(
    absl::string_view profile,
    const std::function<bool(absl::string_view capability)>& granted);

}  // namespace podvisor

#endif  // PODVISOR_CRI_SECCOMP_RULES_H_
