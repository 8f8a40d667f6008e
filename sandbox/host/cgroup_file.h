#ifndef PODVISOR_SANDBOX_HOST_CGROUP_FILE_H_
#define PODVISOR_SANDBOX_HOST_CGROUP_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace podvisor {

// The kernel makes the files of a cgroup: one that is not there is a thing that
// this host cannot do (NotFound), and is never made. Other errors are those of
// ErrnoStatus(), and name the file.

// Without the white space at its ends.
absl::StatusOr<std::string> ReadCgroupFile(const std::string& path);

// In one write(), as the kernel wants it.
absl::Status WriteCgroupFile(const std::string& path, absl::string_view text);

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_HOST_CGROUP_FILE_H_
