#ifndef PODVISOR_SANDBOX_CONTAINER_LOG_FORMAT_H_
#define PODVISOR_SANDBOX_CONTAINER_LOG_FORMAT_H_

#include <cstddef>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace podvisor {

// The log format that kubelet reads (CRI logging, k8s.io/cri-client pkg/logs):
//
//   2026-11-22T10:53:00.123456789Z stdout F the line without its newline
//
// Tag F ends a line of the container's, tag P does not. So a stream is, byte
// for byte, its contents in order with a newline after each F. All pure.

enum class LogStream { kStdout = 0, kStderr = 1 };

// A longer line is written in pieces of this many bytes, tagged P until the
// last. The limit is containerd's.
inline constexpr size_t kMaxLogContentBytes = 16 << 10;

// RFC3339Nano in UTC, always with nine digits: files sort by time.
std::string FormatLogTime(absl::Time time);

// Cuts one stream, arriving in chunks of any size, into log lines. Any byte but
// the newline is content; a NUL and invalid UTF-8 too.
//
// An unfinished line is held back until its newline, its 16 KiB or Finish():
// held bytes are not in the log, and the owner must not acknowledge them. What
// is written therefore depends on the bytes alone and never on the chunks, and
// a cut after any written line can be continued by an empty splitter.
class LogLineSplitter {
 public:
  explicit LogLineSplitter(LogStream stream) : stream_(stream) {}

  // Appends the lines that `data` completes to `lines`.
  void Add(absl::string_view data, absl::string_view time, std::string* lines);

  // Appends what is held back, tagged P because its newline never came.
  void Finish(absl::string_view time, std::string* lines);

  // Less than kMaxLogContentBytes + 1.
  size_t held_bytes() const { return held_.size(); }

 private:
  void Emit(absl::string_view content, bool full, absl::string_view time,
            std::string* lines) const;

  const LogStream stream_;
  std::string held_;
};

// One line of a log. Points into the text it was parsed from.
struct LogLine {
  absl::Time time;
  LogStream stream = LogStream::kStdout;
  bool full = false;  // tag F
  absl::string_view content;
};

// Parses a line without its newline; nullopt when it is not in the format.
std::optional<LogLine> ParseLogLine(absl::string_view line);

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_CONTAINER_LOG_FORMAT_H_
