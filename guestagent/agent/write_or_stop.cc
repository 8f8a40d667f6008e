#include "guestagent/agent/write_or_stop.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "base/errno_status.h"

namespace podvisor {
namespace {

// A reader that is gone must not end the agent.
void BlockSigpipe() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

}  // namespace

absl::Status WriteOrStop(int fd, absl::string_view data,
                         std::array<int, 2> stop_fds) {
  BlockSigpipe();
  while (!data.empty()) {
    const ssize_t count = write(fd, data.data(), data.size());
    if (count > 0) {
      data.remove_prefix(static_cast<size_t>(count));
      continue;
    }
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno != EAGAIN) {
      return absl::UnavailableError(ErrnoStatus(errno, "write").message());
    }
    pollfd polled[] = {
        {fd, POLLOUT, 0}, {stop_fds[0], POLLIN, 0}, {stop_fds[1], POLLIN, 0}};
    if (poll(polled, 3, -1) < 0 && errno != EINTR) {
      return ErrnoStatus(errno, "poll");
    }
    if (polled[1].revents != 0 || polled[2].revents != 0) {
      return absl::CancelledError("stopped");
    }
  }
  return absl::OkStatus();
}

}  // namespace podvisor
