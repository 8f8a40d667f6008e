#include "guestagent/agent/crun_console.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/errno_status.h"
#include "base/status_macros.h"

namespace podvisor {
namespace {

absl::Status AwaitReadable(int fd, Deadline deadline) {
  for (;;) {
    pollfd polled = {fd, POLLIN, 0};
    const int ready = poll(&polled, 1, deadline.PollMillis());
    if (ready > 0) return absl::OkStatus();
    if (ready < 0 && errno != EINTR) return ErrnoStatus(errno, "poll");
    if (deadline.IsOver()) {
      return absl::DeadlineExceededError("crun did not hand out a terminal");
    }
  }
}

}  // namespace

absl::StatusOr<ConsoleSocket> ConsoleSocket::Listen(const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::InternalError("the path of a console socket is too long");
  }
  memcpy(address.sun_path, path.data(), path.size());
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return ErrnoStatus(errno, "socket");
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) !=
      0) {
    return ErrnoStatus(errno, "bind a console socket");
  }
  ConsoleSocket console(std::move(fd), path);
  if (listen(console.socket_.get(), 1) != 0)
    return ErrnoStatus(errno, "listen");
  return console;
}

ConsoleSocket::~ConsoleSocket() {
  // A moved-from object owns nothing.
  if (socket_.valid()) unlink(path_.c_str());
}

absl::StatusOr<UniqueFd> ConsoleSocket::Receive(Deadline deadline) {
  RETURN_IF_ERROR(AwaitReadable(socket_.get(), deadline));
  UniqueFd peer(accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!peer.valid()) return ErrnoStatus(errno, "accept a console");
  RETURN_IF_ERROR(AwaitReadable(peer.get(), deadline));

  char text[256];
  iovec data = {text, sizeof(text)};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message = {};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  const ssize_t count = recvmsg(peer.get(), &message, MSG_CMSG_CLOEXEC);
  if (count < 0) return ErrnoStatus(errno, "receive a console");
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_level != SOL_SOCKET ||
      header->cmsg_type != SCM_RIGHTS ||
      header->cmsg_len != CMSG_LEN(sizeof(int))) {
    return absl::DataLossError("crun sent no terminal");
  }
  int fd = -1;
  memcpy(&fd, CMSG_DATA(header), sizeof(fd));
  UniqueFd master(fd);
  if (!isatty(master.get())) {
    return absl::DataLossError("crun sent something that is no terminal");
  }
  if (fcntl(master.get(), F_SETFL, O_NONBLOCK) != 0) {
    return ErrnoStatus(errno, "make a terminal non-blocking");
  }
  return master;
}

}  // namespace podvisor
