#ifndef PODVISOR_CRI_LOG_READER_H_
#define PODVISOR_CRI_LOG_READER_H_

#include <sys/types.h>

#include <functional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"

namespace podvisor {

// Reads a log that may still grow, be cut, or be replaced by a new one: from
// its beginning, and each time up to what is its end then. One thread.
class LogReader {
 public:
  explicit LogReader(std::string path) : path_(std::move(path)) {}

  // Gives `take` what has come since the last call, in pieces. The rest of a
  // log that was rotated away comes before the new one. Errors: NotFound while
  // there has never been a file; those of OpenPlainFile().
  absl::Status ReadOn(const std::function<void(absl::string_view)>& take);

 private:
  absl::Status ReadToEnd(const std::function<void(absl::string_view)>& take);
  // Whether the path now means another file.
  bool WasRotated() const;

  const std::string path_;
  UniqueFd file_;
  off_t offset_ = 0;
};

}  // namespace podvisor

#endif  // PODVISOR_CRI_LOG_READER_H_
