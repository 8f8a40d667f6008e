#include "sandbox/host/cgroup_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/ascii.h"
#include "base/errno_status.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"

namespace podvisor {
namespace {

constexpr size_t kMaxBytes = 1 << 20;  // cgroup.procs of many processes

}  // namespace

absl::StatusOr<std::string> ReadCgroupFile(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxBytes));
  return std::string(absl::StripAsciiWhitespace(text));
}

absl::Status WriteCgroupFile(const std::string& path, absl::string_view text) {
  const UniqueFd fd(open(path.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, path);
  if (write(fd.get(), text.data(), text.size()) < 0) {
    return ErrnoStatus(errno, path);
  }
  return absl::OkStatus();
}

}  // namespace podvisor
