#ifndef PODVISOR_BASE_USER_NAMESPACE_H_
#define PODVISOR_BASE_USER_NAMESPACE_H_

#include <sys/types.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/id_mapping.h"
#include "base/unique_fd.h"

namespace podvisor {

// Gives the new user namespace of the process `pid`, which has none yet, its
// mapping. The caller is privileged in the namespace above.
absl::Status WriteIdMapping(pid_t pid, const IdMapping& mapping);

// A user namespace with that mapping and nobody in it, as an id-mapped mount
// wants one (mount_setattr(2)): it lives as long as the descriptor.
//
// Thread-safe. Errors: ResourceExhausted (no process or namespace to be had),
// PermissionDenied, InvalidArgument (a mapping that cannot be).
absl::StatusOr<UniqueFd> OpenUserNamespace(const IdMapping& mapping);

}  // namespace podvisor

#endif  // PODVISOR_BASE_USER_NAMESPACE_H_
