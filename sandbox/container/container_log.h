#ifndef PODVISOR_SANDBOX_CONTAINER_CONTAINER_LOG_H_
#define PODVISOR_SANDBOX_CONTAINER_CONTAINER_LOG_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "guestagent/agent.pb.h"
#include "guestagent/client/guest_streams.h"
#include "sandbox/container/log_cursor.h"
#include "sandbox/container/log_file.h"
#include "sandbox/container/log_format.h"

namespace podvisor {

struct ContainerLogOptions {
  std::string log_directory;  // PodSpec::log_directory
  std::string log_path;       // ContainerSpec::log_path; empty: discard output
  std::string cursor_path;    // one per container, in the daemon's run_dir
  std::string container_id;   // for the daemon's own log
};

// One container's output as the file that kubelet and `kubectl logs` read.
//
// No byte is lost or doubled by kill -9 at any instruction: a chunk's lines are
// written first and the cursor after them, and Open() cuts the log back to the
// cursor. Bytes of a line that has not ended are not in the log and not among
// the stored offsets, so that the agent still has them.
//
// A log that cannot be written (full disk, read-only, gone) costs lines, which
// are counted, and never stops the container: output counts as stored then.
//
// Thread-safe. The clock outlives this.
class ContainerLog {
 public:
  // Continues where an earlier process stopped, or begins a new log. Errors:
  // those of OpenLogFile() and LogCursorFile::Open(). A container that lives
  // already should then be drained with an empty log_path.
  static absl::StatusOr<std::unique_ptr<ContainerLog>> Open(
      const ContainerLogOptions& options, Clock* clock);

  ContainerLog(const ContainerLog&) = delete;
  ContainerLog& operator=(const ContainerLog&) = delete;

  // Takes one piece of output; returns how far all output is stored. Bytes that
  // were given before are skipped. DataLoss, with nothing taken: a gap, data
  // after the end, or no stream.
  absl::StatusOr<OutputOffsets> Append(const agent::v1::OutputChunk& chunk)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Writes what is held back: no more output will come.
  void Flush() ABSL_LOCKS_EXCLUDED(mutex_);

  // The log has been renamed: later lines go to a new file of the same name.
  // On an error the old file stays in use.
  absl::Status Reopen() ABSL_LOCKS_EXCLUDED(mutex_);

  // What is in the log for good, and what has been given to Append().
  OutputOffsets stored() const ABSL_LOCKS_EXCLUDED(mutex_);
  OutputOffsets received() const ABSL_LOCKS_EXCLUDED(mutex_);

  // Lines that could not be written, since the container began.
  uint64_t dropped_lines() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Stream {
    explicit Stream(LogStream stream) : splitter(stream) {}

    LogLineSplitter splitter;
    uint64_t received = 0;
    bool ended = false;
  };

  ContainerLog(const ContainerLogOptions& options, Clock* clock,
               LogCursorFile cursor_file)
      : options_(options),
        clock_(clock),
        cursor_file_(std::move(cursor_file)) {}

  absl::Status Recover() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Write(absl::string_view lines) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Drop(absl::string_view lines, int error)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ReplaceDeletedFile() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void StoreCursor() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  OutputOffsets Stored() const ABSL_SHARED_LOCKS_REQUIRED(mutex_);

  const ContainerLogOptions options_;
  Clock* const clock_;

  mutable absl::Mutex mutex_;
  LogCursorFile cursor_file_ ABSL_GUARDED_BY(mutex_);
  LogFile log_ ABSL_GUARDED_BY(mutex_);  // no fd with an empty log_path
  std::array<Stream, 2> streams_ ABSL_GUARDED_BY(mutex_) = {
      Stream(LogStream::kStdout), Stream(LogStream::kStderr)};
  uint64_t dropped_lines_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t dropped_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  // The last write failed, and that has been said.
  bool dropping_ ABSL_GUARDED_BY(mutex_) = false;
  bool cursor_failing_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_CONTAINER_CONTAINER_LOG_H_
