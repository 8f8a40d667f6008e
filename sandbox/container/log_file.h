#ifndef PODVISOR_SANDBOX_CONTAINER_LOG_FILE_H_
#define PODVISOR_SANDBOX_CONTAINER_LOG_FILE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"

namespace podvisor {

// Opening the files that containers' output goes to. The directory is the
// kubelet's choice and trusted; the path below it is only a path below it.

// Which file a descriptor is; survives renames.
struct FileIdentity {
  uint64_t device = 0;
  uint64_t inode = 0;

  bool operator==(const FileIdentity&) const = default;
};

struct LogFile {
  UniqueFd fd;
  FileIdentity identity;
  uint64_t size = 0;
};

// Opens `directory`/`path` for appending, making the file (0640) when it is
// missing and, with `make_directories`, what is missing above it (0755).
//
// Errors:
//   InvalidArgument     `path` is absolute, has "..", "." or empty parts, a
//                       NUL, or is longer than 4 KiB; `directory` is relative.
//   FailedPrecondition  a symbolic link below `directory`, or the file is not
//                       a regular one of ours with one name (CVE-2025-0750,
//                       and links that a guest planted).
//   NotFound            a directory is missing.
//   and those of ErrnoStatus().
absl::StatusOr<LogFile> OpenLogFile(const std::string& directory,
                                    absl::string_view path,
                                    bool make_directories);

// Cuts a log back to `size` bytes, where one of our lines must end; a file that
// is not longer is left alone. FailedPrecondition when no line ends there.
absl::Status CutLogFile(int fd, uint64_t size);

// Finds the file `identity` beside `path`, where a rotation has renamed it to,
// and cuts it back to `size`. OK when it is not there.
absl::Status CutRotatedLog(const std::string& directory, absl::string_view path,
                           const FileIdentity& identity, uint64_t size);

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_CONTAINER_LOG_FILE_H_
