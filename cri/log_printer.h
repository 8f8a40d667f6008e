#ifndef PODVISOR_CRI_LOG_PRINTER_H_
#define PODVISOR_CRI_LOG_PRINTER_H_

#include <ostream>
#include <string>

#include "absl/strings/string_view.h"

namespace podvisor {

// Where the text of one stream goes.
struct LogSink {
  std::ostream* out = nullptr;  // borrowed
  // No byte may act on the terminal that it reaches.
  bool terminal = false;
};

// Prints what a container wrote from the bytes of its CRI log, however they
// arrive: the messages, each to the sink of its stream, and a newline where
// the container's line ended. A line that is not in the format is printed as it
// is, as standard output. The container is hostile: memory is bounded.
class LogPrinter {
 public:
  LogPrinter(LogSink standard_output, LogSink standard_error)
      : sinks_{standard_output, standard_error} {}

  void Add(absl::string_view bytes);
  // The log has ended, perhaps without a newline.
  void Finish();

 private:
  void PrintLine(absl::string_view line);

  const LogSink sinks_[2];  // by LogStream
  std::string held_;        // an unfinished line of the log
};

}  // namespace podvisor

#endif  // PODVISOR_CRI_LOG_PRINTER_H_
