#include "cri/log_printer.h"

#include <cstddef>
#include <optional>

#include "base/clean_text.h"
#include "sandbox/container/log_format.h"

namespace podvisor {
namespace {

// Several times what our own lines can be.
constexpr size_t kMaxLineBytes = 4 * kMaxLogContentBytes;

void Print(const LogSink& sink, absl::string_view text, bool newline) {
  if (sink.terminal) {
    *sink.out << CleanText(text, kMaxLineBytes);
  } else {
    *sink.out << text;
  }
  if (newline) *sink.out << '\n';
  // Both streams may be one terminal.
  sink.out->flush();
}

}  // namespace

void LogPrinter::Add(absl::string_view bytes) {
  while (!bytes.empty()) {
    const size_t newline = bytes.find('\n');
    const absl::string_view piece =
        bytes.substr(0, newline).substr(0, kMaxLineBytes - held_.size());
    held_.append(piece.data(), piece.size());
    bytes.remove_prefix(piece.size());
    if (!bytes.empty() && bytes.front() == '\n') {
      bytes.remove_prefix(1);
      PrintLine(held_);
      held_.clear();
    } else if (held_.size() == kMaxLineBytes) {
      Print(sinks_[0], held_, /*newline=*/false);
      held_.clear();
    }
  }
}

void LogPrinter::Finish() {
  if (!held_.empty()) PrintLine(held_);
  held_.clear();
}

void LogPrinter::PrintLine(absl::string_view line) {
  if (const std::optional<LogLine> parsed = ParseLogLine(line)) {
    Print(sinks_[static_cast<int>(parsed->stream)], parsed->content,
          parsed->full);
  } else {
    Print(sinks_[0], line, /*newline=*/true);
  }
}

}  // namespace podvisor
