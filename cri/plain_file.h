#ifndef PODVISOR_CRI_PLAIN_FILE_H_
#define PODVISOR_CRI_PLAIN_FILE_H_

#include <string>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace podvisor {

// Opens a file to read what a guest wrote into it. Neither a symbolic link at
// its end nor a device or FIFO is followed, and opening never waits. NotFound;
// FailedPrecondition for what is no regular file.
absl::StatusOr<UniqueFd> OpenPlainFile(const std::string& path);

}  // namespace podvisor

#endif  // PODVISOR_CRI_PLAIN_FILE_H_
