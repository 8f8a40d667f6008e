#include "sandbox/vm/vm_files.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/clean_text.h"
#include "base/errno_status.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "volume/pod_directory.h"

namespace podvisor {

VmFiles::VmFiles(UniqueFd directory) : directory_(std::move(directory)) {}

absl::StatusOr<VmFiles> VmFiles::Open(const std::string& pod_directory) {
  UniqueFd fd(open(pod_directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, pod_directory);
  // A file system of its own in a pod's directory; there already, then.
  if (mkdirat(fd.get(), kOutputDirectory, 0700) != 0 && errno != EEXIST) {
    return ErrnoStatus(errno, pod_directory);
  }
  return VmFiles(std::move(fd));
}

std::string VmFiles::Path(const char* name) const {
  return absl::StrCat("/proc/self/fd/", directory_.get(), "/", name);
}

absl::StatusOr<UniqueFd> VmFiles::Listen(const char* name) const {
  unlinkat(directory_.get(), name, 0);
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "socket");
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, Path(name).c_str(),
               sizeof(address.sun_path) - 1);
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address),
           sizeof(address)) != 0 ||
      listen(fd.get(), 4) != 0) {
    return ErrnoStatus(errno, absl::StrCat("listen on ", name));
  }
  return fd;
}

absl::StatusOr<UniqueFd> VmFiles::New(const char* name) const {
  UniqueFd fd(openat(
      directory_.get(), name,
      O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.valid()) return ErrnoStatus(errno, name);
  return fd;
}

absl::StatusOr<std::string> VmFiles::Tail(const char* name,
                                          size_t max_bytes) const {
  const UniqueFd fd(
      openat(directory_.get(), name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, name);
  struct stat info;
  if (fstat(fd.get(), &info) != 0) return ErrnoStatus(errno, name);
  const off_t size = info.st_size;
  off_t at = std::max<off_t>(0, size - static_cast<off_t>(max_bytes));
  std::string text;
  while (at < size) {
    char buffer[16384];
    const ssize_t n = pread(fd.get(), buffer,
                            std::min<size_t>(sizeof(buffer), size - at), at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, name);
    if (n == 0) break;
    text.append(buffer, n);
    at += n;
  }
  return text;
}

absl::Status VmFiles::TrimConsole(size_t max_bytes, size_t kept) const {
  const UniqueFd fd(openat(directory_.get(), kConsole,
                           O_WRONLY | O_APPEND | O_NOFOLLOW | O_CLOEXEC));
  struct stat info;
  if (!fd.valid() || fstat(fd.get(), &info) != 0) {
    return ErrnoStatus(errno, kConsole);
  }
  if (info.st_size <= static_cast<off_t>(max_bytes)) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string tail, ConsoleTail(kept));
  // QEMU appends too, and so to whatever the file is then.
  if (ftruncate(fd.get(), 0) != 0) return ErrnoStatus(errno, kConsole);
  return WriteAll(fd.get(), tail);
}

std::string PanicLine(const std::string& console) {
  const size_t at = console.rfind("Kernel panic");
  if (at == std::string::npos) return "";
  const size_t end = console.find_first_of("\r\n", at);
  return CleanText(console.substr(at, end - at), 256);
}

std::string LastLines(const std::string& text, size_t max_bytes) {
  absl::string_view rest = absl::StripAsciiWhitespace(text);
  if (rest.size() > max_bytes) rest.remove_prefix(rest.size() - max_bytes);
  return CleanText(rest, max_bytes);
}

}  // namespace podvisor
