#include "sandbox/container/log_format.h"

#include <cstring>

#include "absl/strings/str_cat.h"

namespace podvisor {
namespace {

absl::string_view NameOf(LogStream stream) {
  return stream == LogStream::kStdout ? "stdout" : "stderr";
}

// Takes text up to the next space off the front of `text`.
absl::string_view TakeWord(absl::string_view* text) {
  const size_t space = text->find(' ');
  if (space == absl::string_view::npos) return {};
  const absl::string_view word = text->substr(0, space);
  text->remove_prefix(space + 1);
  return word;
}

}  // namespace

std::string FormatLogTime(absl::Time time) {
  return absl::FormatTime("%E4Y-%m-%d%ET%H:%M:%E9SZ", time,
                          absl::UTCTimeZone());
}

void LogLineSplitter::Add(absl::string_view data, absl::string_view time,
                          std::string* lines) {
  while (!data.empty()) {
    // Held are at most kMaxLogContentBytes: a full piece goes out only when a
    // byte comes that is not its newline, so that no line ends in an empty F.
    const size_t room = kMaxLogContentBytes - held_.size();
    const absl::string_view window = data.substr(0, room + 1);
    const size_t newline = window.find('\n');
    if (newline != absl::string_view::npos) {
      held_.append(window.data(), newline);
      Emit(held_, /*full=*/true, time, lines);
      held_.clear();
      data.remove_prefix(newline + 1);
    } else if (window.size() > room) {
      held_.append(window.data(), room);
      Emit(held_, /*full=*/false, time, lines);
      held_.clear();
      data.remove_prefix(room);
    } else {
      held_.append(data.data(), data.size());
      return;
    }
  }
}

void LogLineSplitter::Finish(absl::string_view time, std::string* lines) {
  if (held_.empty()) return;
  Emit(held_, /*full=*/false, time, lines);
  held_.clear();
}

void LogLineSplitter::Emit(absl::string_view content, bool full,
                           absl::string_view time, std::string* lines) const {
  absl::StrAppend(lines, time, " ", NameOf(stream_), full ? " F " : " P ",
                  content, "\n");
}

std::optional<LogLine> ParseLogLine(absl::string_view line) {
  LogLine parsed;
  const absl::string_view time = TakeWord(&line);
  if (time.size() < 20 || time.size() > 35 ||
      !absl::ParseTime(absl::RFC3339_full, time, &parsed.time, nullptr)) {
    return std::nullopt;
  }
  const absl::string_view stream = TakeWord(&line);
  if (stream != "stdout" && stream != "stderr") return std::nullopt;
  parsed.stream = stream == "stdout" ? LogStream::kStdout : LogStream::kStderr;
  const absl::string_view tag = TakeWord(&line);
  if (tag != "F" && tag != "P") return std::nullopt;
  parsed.full = tag == "F";
  parsed.content = line;
  return parsed;
}

}  // namespace podvisor
