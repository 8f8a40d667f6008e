#include "guestagent/agent/virtio_port.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>

#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "guestagent/agent/poll_until.h"

namespace podvisor {
namespace {

constexpr char kPortsDir[] = "/sys/class/virtio-ports";
constexpr char kDriverDir[] = "/sys/bus/virtio/drivers/virtio_console";

// "vport1p1" for the port's name; NotFound while there is none.
absl::StatusOr<std::string> FindPort(const std::string& name) {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(kPortsDir),
                                                      closedir);
  if (directory == nullptr) return ErrnoStatus(errno, kPortsDir);
  while (const dirent* entry = readdir(directory.get())) {
    if (entry->d_name[0] == '.') continue;
    const absl::StatusOr<std::string> text =
        ReadFile(absl::StrCat(kPortsDir, "/", entry->d_name, "/name"), 256);
    if (text.ok() && absl::StripAsciiWhitespace(*text) == name) {
      return std::string(entry->d_name);
    }
  }
  return absl::NotFoundError(absl::StrCat("no port ", name));
}

absl::Status WriteTo(const std::string& path, const std::string& text) {
  const UniqueFd file(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file.valid()) return ErrnoStatus(errno, path);
  return Annotate(WriteAll(file.get(), text), path);
}

}  // namespace

absl::StatusOr<UniqueFd> VirtioPort::Open(absl::Duration timeout) {
  UniqueFd port;
  const absl::Status status =
      PollUntil(timeout, nullptr, [&]() -> absl::StatusOr<bool> {
        const absl::StatusOr<std::string> found = FindPort(name_);
        if (absl::IsNotFound(found.status())) return false;
        if (!found.ok()) return found.status();
        const std::string link =
            absl::StrCat(kPortsDir, "/", *found, "/device");
        const std::unique_ptr<char, void (*)(void*)> device(
            realpath(link.c_str(), nullptr), free);
        if (device == nullptr) return false;  // It just went away.
        const std::string path(device.get());
        device_ = path.substr(path.rfind('/') + 1);
        port.Reset(open(absl::StrCat("/dev/", *found).c_str(),
                        O_RDWR | O_NONBLOCK | O_CLOEXEC));
        return port.valid();
      });
  RETURN_IF_ERROR(Annotate(status, absl::StrCat("port ", name_)));
  return port;
}

absl::Status VirtioPort::Rebind() {
  if (device_.empty()) {
    return absl::FailedPreconditionError("the port was never open");
  }
  RETURN_IF_ERROR(WriteTo(absl::StrCat(kDriverDir, "/unbind"), device_));
  return WriteTo(absl::StrCat(kDriverDir, "/bind"), device_);
}

}  // namespace podvisor
