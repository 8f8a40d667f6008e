#ifndef PODVISOR_SANDBOX_HOST_FILES_LIMIT_H_
#define PODVISOR_SANDBOX_HOST_FILES_LIMIT_H_

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"

namespace podvisor {

// What this host can give, from /proc/sys/fs.
struct FileTable {
  int64_t file_max = 0;  // open files of all processes together
  int64_t nr_open = 0;   // the most of one process
};

// How many files QEMU and virtiofsd may each have open, for a pod that asks for
// `asked`:
//
//   nothing     0, which means their own defaults
//   0           a 400th of fs.file-max, within what one process may have
//   below 1024  1024
//
// Pure. InvalidArgument above fs.nr_open.
absl::StatusOr<int64_t> FilesLimitFor(std::optional<int64_t> asked,
                                      const FileTable& host);

// Reads /proc/sys/fs. Errors: those of reading.
absl::StatusOr<FileTable> ReadFileTable();

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_HOST_FILES_LIMIT_H_
