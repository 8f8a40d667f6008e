#ifndef PODVISOR_BASE_ERRNO_STATUS_H_
#define PODVISOR_BASE_ERRNO_STATUS_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace podvisor {

// A Status for a failed system call: "what: strerror(error)". ENOENT becomes
// NotFound, EEXIST AlreadyExists, ENOSPC, EDQUOT, EMFILE, ENFILE, ENOMEM and
// EAGAIN ResourceExhausted, EACCES, EPERM and EROFS PermissionDenied, ETIMEDOUT
// DeadlineExceeded, ECONNREFUSED, ECONNRESET and EPIPE Unavailable, everything
// else Internal.
absl::Status ErrnoStatus(int error, absl::string_view what);

}  // namespace podvisor

#endif  // PODVISOR_BASE_ERRNO_STATUS_H_
