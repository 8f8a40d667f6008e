#include "sandbox/host/files_limit.h"

#include <algorithm>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "base/status_macros.h"

namespace podvisor {
namespace {

// Both are the annotation's contract.
constexpr int64_t kLeast = 1024;
constexpr int64_t kShareOfHost = 400;

absl::StatusOr<int64_t> ReadNumber(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, 64));
  int64_t number = 0;
  if (!absl::SimpleAtoi(absl::StripAsciiWhitespace(text), &number)) {
    return absl::InternalError(absl::StrCat(path, " is not a number"));
  }
  return number;
}

}  // namespace

absl::StatusOr<int64_t> FilesLimitFor(std::optional<int64_t> asked,
                                      const FileTable& host) {
  if (!asked.has_value()) return 0;
  if (*asked > host.nr_open) {
    return absl::InvalidArgumentError(
        absl::StrCat("files_limit: ", *asked, " is above fs.nr_open, which is ",
                     host.nr_open));
  }
  // fs.file-max is 2^63 - 1 where nobody has set it.
  if (*asked == 0) asked = std::min(host.file_max / kShareOfHost, host.nr_open);
  return std::max(*asked, kLeast);
}

absl::StatusOr<FileTable> ReadFileTable() {
  FileTable host;
  ASSIGN_OR_RETURN(host.file_max, ReadNumber("/proc/sys/fs/file-max"));
  ASSIGN_OR_RETURN(host.nr_open, ReadNumber("/proc/sys/fs/nr_open"));
  return host;
}

}  // namespace podvisor
