#include "cri/unix_listener.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/errno_status.h"

namespace podvisor {
namespace {

// After a failed accept(), which does not get better at once.
constexpr int kPauseMillis = 100;

}  // namespace

absl::StatusOr<std::unique_ptr<UnixListener>> UnixListener::Listen(
    const std::string& path, std::function<void(UniqueFd)> serve) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is too long"));
  }
  memcpy(address.sun_path, path.data(), path.size());
  UniqueFd listener(
      socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  UniqueFd wake(eventfd(0, EFD_CLOEXEC));
  if (!listener.valid() || !wake.valid()) return ErrnoStatus(errno, "socket");
  unlink(path.c_str());
  // Never for others, not even for the moment until a chmod.
  const mode_t before = umask(0117);
  const bool bound = bind(listener.get(), reinterpret_cast<sockaddr*>(&address),
                          sizeof(address)) == 0;
  const int error = errno;
  umask(before);
  if (!bound) return ErrnoStatus(error, path);
  if (listen(listener.get(), SOMAXCONN) != 0) return ErrnoStatus(errno, path);
  return std::unique_ptr<UnixListener>(new UnixListener(
      path, std::move(listener), std::move(wake), std::move(serve)));
}

UnixListener::UnixListener(std::string path, UniqueFd listener, UniqueFd wake,
                           std::function<void(UniqueFd)> serve)
    : path_(std::move(path)),
      listener_(std::move(listener)),
      wake_(std::move(wake)),
      serve_(std::move(serve)),
      thread_([this] { Accept(); }) {}

UnixListener::~UnixListener() {
  eventfd_write(wake_.get(), 1);
  thread_.join();
  unlink(path_.c_str());
}

void UnixListener::Accept() {
  pollfd polled[] = {{wake_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
  for (;;) {
    poll(polled, 2, -1);
    if (polled[0].revents != 0) return;
    UniqueFd client(accept4(listener_.get(), nullptr, nullptr,
                            SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (client.valid()) {
      serve_(std::move(client));
    } else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
      poll(polled, 1, kPauseMillis);
    }
  }
}

}  // namespace podvisor
