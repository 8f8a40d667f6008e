#ifndef PODVISOR_BASE_LOG_H_
#define PODVISOR_BASE_LOG_H_

#include <initializer_list>
#include <utility>

#include "absl/strings/string_view.h"

namespace podvisor {

enum class LogLevel { kDebug = 0, kInfo = 1, kWarning = 2, kError = 3 };

// Lines below this level are dropped. Thread-safe; kInfo at first.
void SetLogLevel(LogLevel level);

using LogField = std::pair<absl::string_view, absl::string_view>;

// Writes one structured line (JSON: time, level, message, then the fields) to
// standard error. Values are escaped, so that no guest can forge a line.
// Thread-safe. Never log a secret.
void Log(LogLevel level, absl::string_view message,
         std::initializer_list<LogField> fields = {});

}  // namespace podvisor

#endif  // PODVISOR_BASE_LOG_H_
