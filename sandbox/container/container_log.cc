#include "sandbox/container/container_log.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace podvisor {
namespace {

using agent::v1::OutputChunk;

// Writes as much as goes; returns how much that was. `error` is 0 for all.
size_t WriteWhatGoes(int fd, absl::string_view data, int* error) {
  size_t written = 0;
  *error = 0;
  while (written < data.size()) {
    const ssize_t n = write(fd, data.data() + written, data.size() - written);
    if (n > 0) {
      written += static_cast<size_t>(n);
    } else if (n == 0 || errno != EINTR) {
      *error = n == 0 ? EIO : errno;
      break;
    }
  }
  return written;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ContainerLog>> ContainerLog::Open(
    const ContainerLogOptions& options, Clock* clock) {
  ASSIGN_OR_RETURN(LogCursorFile cursor_file,
                   LogCursorFile::Open(options.cursor_path));
  std::unique_ptr<ContainerLog> log(
      new ContainerLog(options, clock, std::move(cursor_file)));
  absl::MutexLock lock(&log->mutex_);
  RETURN_IF_ERROR(log->Recover());
  return log;
}

absl::Status ContainerLog::Recover() {
  const LogCursor cursor = cursor_file_.cursor().value_or(LogCursor());
  streams_[0].received = cursor.stdout_bytes;
  streams_[1].received = cursor.stderr_bytes;
  dropped_lines_ = cursor.dropped_lines;
  dropped_bytes_ = cursor.dropped_bytes;
  if (options_.log_path.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(log_, OpenLogFile(options_.log_directory, options_.log_path,
                                     /*make_directories=*/true));
  if (cursor.log_inode != 0) {
    // Lines after the cursor will come again.
    const FileIdentity identity = {cursor.log_device, cursor.log_inode};
    const absl::Status cut =
        log_.identity == identity
            ? CutLogFile(log_.fd.get(), cursor.log_bytes)
            : CutRotatedLog(options_.log_directory, options_.log_path, identity,
                            cursor.log_bytes);
    if (!cut.ok()) {
      Log(LogLevel::kWarning, "some log lines may be there twice",
          {{"container_id", options_.container_id}, {"error", cut.ToString()}});
    }
  }
  struct stat file = {};
  if (fstat(log_.fd.get(), &file) == 0) {
    log_.size = static_cast<uint64_t>(file.st_size);
  }
  StoreCursor();
  return absl::OkStatus();
}

absl::StatusOr<OutputOffsets> ContainerLog::Append(const OutputChunk& chunk) {
  if (chunk.stream() != OutputChunk::STDOUT &&
      chunk.stream() != OutputChunk::STDERR) {
    return absl::DataLossError("output without a stream");
  }
  absl::MutexLock lock(&mutex_);
  Stream& stream = streams_[chunk.stream() == OutputChunk::STDERR ? 1 : 0];
  if (chunk.offset() > stream.received) {
    return absl::DataLossError(absl::StrCat(
        "a gap in the output: ", chunk.offset(), " after ", stream.received));
  }
  const uint64_t known = stream.received - chunk.offset();
  absl::string_view data(chunk.data());
  data.remove_prefix(std::min<uint64_t>(known, data.size()));
  if (stream.ended && !data.empty()) {
    return absl::DataLossError("output after its end");
  }
  const std::string time = FormatLogTime(clock_->Now());
  std::string lines;
  stream.splitter.Add(data, time, &lines);
  stream.received += data.size();
  if (chunk.eof()) {
    stream.splitter.Finish(time, &lines);
    stream.ended = true;
  }
  if (!lines.empty()) {
    Write(lines);
    StoreCursor();
  }
  return Stored();
}

void ContainerLog::Flush() {
  absl::MutexLock lock(&mutex_);
  const std::string time = FormatLogTime(clock_->Now());
  std::string lines;
  for (Stream& stream : streams_) stream.splitter.Finish(time, &lines);
  if (lines.empty()) return;
  Write(lines);
  StoreCursor();
}

absl::Status ContainerLog::Reopen() {
  absl::MutexLock lock(&mutex_);
  if (options_.log_path.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(LogFile log,
                   OpenLogFile(options_.log_directory, options_.log_path,
                               /*make_directories=*/false));
  log_ = std::move(log);
  StoreCursor();
  return absl::OkStatus();
}

OutputOffsets ContainerLog::stored() const {
  absl::MutexLock lock(&mutex_);
  return Stored();
}

OutputOffsets ContainerLog::received() const {
  absl::MutexLock lock(&mutex_);
  return {streams_[0].received, streams_[1].received};
}

uint64_t ContainerLog::dropped_lines() const {
  absl::MutexLock lock(&mutex_);
  return dropped_lines_;
}

OutputOffsets ContainerLog::Stored() const {
  return {streams_[0].received - streams_[0].splitter.held_bytes(),
          streams_[1].received - streams_[1].splitter.held_bytes()};
}

void ContainerLog::Write(absl::string_view lines) {
  if (!log_.fd.valid()) return;
  struct stat file = {};
  if (fstat(log_.fd.get(), &file) == 0 && file.st_nlink == 0) {
    ReplaceDeletedFile();
    if (fstat(log_.fd.get(), &file) != 0) file.st_size = 0;
  }
  // Not what we wrote last: someone may have cut the file (copytruncate).
  log_.size = static_cast<uint64_t>(file.st_size);
  int error = 0;
  size_t written = WriteWhatGoes(log_.fd.get(), lines, &error);
  if (error != 0) {
    // Keep whole lines only.
    const size_t newline = lines.substr(0, written).rfind('\n');
    written = newline == absl::string_view::npos ? 0 : newline + 1;
    if (ftruncate(log_.fd.get(), static_cast<off_t>(log_.size + written)) !=
        0) {
      Log(LogLevel::kWarning, "a log line is torn",
          {{"container_id", options_.container_id}});
    }
    Drop(lines.substr(written), error);
  } else if (dropping_) {
    dropping_ = false;
    Log(LogLevel::kInfo, "log lines are written again",
        {{"container_id", options_.container_id},
         {"lines_dropped", absl::StrCat(dropped_lines_)}});
  }
  log_.size += written;
}

void ContainerLog::Drop(absl::string_view lines, int error) {
  dropped_lines_ +=
      static_cast<uint64_t>(std::count(lines.begin(), lines.end(), '\n'));
  dropped_bytes_ += lines.size();
  // Once, not for every chunk: a full disk must not fill the daemon's log too.
  if (dropping_) return;
  dropping_ = true;
  Log(LogLevel::kError, "log lines are dropped",
      {{"container_id", options_.container_id}, {"error", strerror(error)}});
}

// Somebody removed or replaced the log without a Reopen(); a kubelet whose call
// failed renames the old log back over the new one.
void ContainerLog::ReplaceDeletedFile() {
  absl::StatusOr<LogFile> log =
      OpenLogFile(options_.log_directory, options_.log_path,
                  /*make_directories=*/false);
  if (log.ok()) log_ = *std::move(log);
}

void ContainerLog::StoreCursor() {
  const OutputOffsets stored = Stored();
  const absl::Status status = cursor_file_.Store(
      {stored.stdout_bytes, stored.stderr_bytes, log_.identity.device,
       log_.identity.inode, log_.size, dropped_lines_, dropped_bytes_});
  if (!status.ok() && !cursor_failing_) {
    Log(LogLevel::kError, "log lines may be doubled by a restart",
        {{"container_id", options_.container_id},
         {"error", status.ToString()}});
  }
  cursor_failing_ = !status.ok();
}

}  // namespace podvisor
