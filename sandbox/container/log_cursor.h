#ifndef PODVISOR_SANDBOX_CONTAINER_LOG_CURSOR_H_
#define PODVISOR_SANDBOX_CONTAINER_LOG_CURSOR_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace podvisor {

// How far one container's output has come, and how long its log was then. A
// value. There is no state of unfinished lines: they are held back and not
// counted, see LogLineSplitter.
struct LogCursor {
  uint64_t stdout_bytes = 0;
  uint64_t stderr_bytes = 0;
  uint64_t log_device = 0;
  uint64_t log_inode = 0;
  uint64_t log_bytes = 0;  // size of the log file
  uint64_t dropped_lines = 0;
  uint64_t dropped_bytes = 0;

  bool operator==(const LogCursor&) const = default;
};

// The cursor's file: two slots, each with a sequence number and a checksum. A
// store writes the older slot, so that kill -9 in the middle of it leaves the
// other one. Written with pwrite() and not through a mapping, where a full disk
// or a cut file would be a SIGBUS for the whole daemon. Put it on a tmpfs: it
// need not outlive the host, whose end is also the container's.
//
// Not thread-safe.
class LogCursorFile {
 public:
  // Opens the file, or makes it with all its space (0600).
  static absl::StatusOr<LogCursorFile> Open(const std::string& path);

  // The cursor last stored; nullopt for a new file and for a damaged one.
  const std::optional<LogCursor>& cursor() const { return cursor_; }

  absl::Status Store(const LogCursor& cursor);

 private:
  explicit LogCursorFile(UniqueFd fd) : fd_(std::move(fd)) {}

  UniqueFd fd_;
  uint64_t sequence_ = 0;  // of the slot that holds cursor_
  std::optional<LogCursor> cursor_;
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_CONTAINER_LOG_CURSOR_H_
