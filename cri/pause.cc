#include "cri/pause.h"

#include <poll.h>
#include <sys/signalfd.h>

#include <cerrno>
#include <csignal>
#include <utility>

#include "base/errno_status.h"
#include "base/unique_fd.h"

namespace podvisor {
namespace {

class InterruptiblePause final : public Pause {
 public:
  InterruptiblePause(UniqueFd signals, int output)
      : signals_(std::move(signals)), output_(output) {}

  bool For(absl::Duration time) override {
    // Errors and hang-ups are told without being asked for.
    pollfd fds[] = {{signals_.get(), POLLIN, 0}, {output_, 0, 0}};
    timespec timeout = absl::ToTimespec(time);
    const int ready = ppoll(fds, 2, &timeout, nullptr);
    return ready == 0 || (ready < 0 && errno == EINTR);
  }

 private:
  const UniqueFd signals_;
  const int output_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Pause>> PauseUntilInterrupted(int output) {
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGINT);
  sigaddset(&ends, SIGTERM);
  if (const int error = pthread_sigmask(SIG_BLOCK, &ends, nullptr);
      error != 0) {
    return ErrnoStatus(error, "sigmask");
  }
  signal(SIGPIPE, SIG_IGN);
  UniqueFd signals(signalfd(-1, &ends, SFD_CLOEXEC));
  if (!signals.valid()) return ErrnoStatus(errno, "signalfd");
  return std::make_unique<InterruptiblePause>(std::move(signals), output);
}

}  // namespace podvisor
