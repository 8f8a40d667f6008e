#ifndef PODVISOR_BASE_FILE_H_
#define PODVISOR_BASE_FILE_H_

#include <sys/types.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace podvisor {

// Reads a whole file. ResourceExhausted when it is longer than `max_bytes`.
absl::StatusOr<std::string> ReadFile(const std::string& path,
                                     size_t max_bytes = 16 << 20);

// Replaces a file so that after a crash it is either the old or the new one:
// temporary file beside it, fsync, rename, fsync of the directory.
absl::Status WriteFileAtomically(const std::string& path,
                                 absl::string_view data, mode_t mode = 0600);

// Writes all bytes, across short writes and EINTR.
absl::Status WriteAll(int fd, absl::string_view data);

// Makes a directory and its missing parents. An existing one is OK.
absl::Status MakeDirectories(const std::string& path, mode_t mode = 0700);

// Removes a tree, however deep, without following symbolic links or crossing
// into another file system. A missing one is OK. After an error some of its
// directories may have other names, right below `path`.
absl::Status RemoveTree(const std::string& path);

}  // namespace podvisor

#endif  // PODVISOR_BASE_FILE_H_
