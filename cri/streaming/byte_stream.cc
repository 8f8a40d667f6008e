#include "cri/streaming/byte_stream.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <climits>
#include <utility>

#include "base/errno_status.h"
#include "base/status_macros.h"

namespace podvisor {
namespace {

// How soon it is noticed that nobody waits for input to be dropped any more.
constexpr absl::Duration kLookAgain = absl::Milliseconds(100);

}  // namespace

ByteStream::ByteStream(UniqueFd socket, absl::Duration idle, Clock* clock)
    : socket_(std::move(socket)),
      idle_(idle),
      clock_(clock),
      stop_reading_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      cancel_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      last_activity_nanos_(absl::ToUnixNanos(Now())) {}

void ByteStream::NoteActivity() {
  last_activity_nanos_ = absl::ToUnixNanos(Now());
}

absl::Status ByteStream::Wait(short events, int wake_fd,
                              absl::Time deadline) const {
  // poll() takes no notice of a descriptor that could not be made.
  if (wake_fd < 0) return absl::ResourceExhaustedError("no descriptor is left");
  for (;;) {
    const absl::Time idle_end =
        absl::FromUnixNanos(last_activity_nanos_) + idle_;
    const absl::Duration left = std::min(deadline, idle_end) - Now();
    if (left <= absl::ZeroDuration()) {
      return absl::DeadlineExceededError("the client is silent for too long");
    }
    pollfd polled[] = {{socket_.get(), events, 0}, {wake_fd, POLLIN, 0}};
    const int64_t millis = absl::ToInt64Milliseconds(left) + 1;
    const int ready =
        poll(polled, 2, static_cast<int>(std::min<int64_t>(millis, INT_MAX)));
    if (ready < 0 && errno != EINTR) return ErrnoStatus(errno, "poll");
    if (polled[1].revents != 0 && ready > 0) {
      return absl::CancelledError("the stream is over");
    }
    if (ready > 0) return absl::OkStatus();
  }
}

absl::StatusOr<size_t> ByteStream::Read(char* into, size_t size,
                                        absl::Time deadline) {
  for (;;) {
    RETURN_IF_ERROR(Wait(POLLIN, stop_reading_.get(), deadline));
    const ssize_t count = recv(socket_.get(), into, size, MSG_DONTWAIT);
    if (count > 0) {
      NoteActivity();
      return static_cast<size_t>(count);
    }
    if (count == 0) return absl::OutOfRangeError("the client has closed");
    if (errno != EAGAIN && errno != EINTR) {
      return absl::UnavailableError("the client's connection broke");
    }
  }
}

absl::Status ByteStream::Write(absl::string_view bytes) {
  while (!bytes.empty()) {
    RETURN_IF_ERROR(Wait(POLLOUT, cancel_.get(), absl::InfiniteFuture()));
    const ssize_t count = send(socket_.get(), bytes.data(), bytes.size(),
                               MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count >= 0) {
      NoteActivity();
      bytes.remove_prefix(static_cast<size_t>(count));
    } else if (errno != EAGAIN && errno != EINTR) {
      return absl::UnavailableError("the client's connection broke");
    }
  }
  return absl::OkStatus();
}

bool ByteStream::CanWrite() const {
  pollfd polled = {socket_.get(), POLLOUT, 0};
  return poll(&polled, 1, 0) == 1 && polled.revents == POLLOUT;
}

void ByteStream::StopReading() { eventfd_write(stop_reading_.get(), 1); }

void ByteStream::Cancel() {
  eventfd_write(stop_reading_.get(), 1);
  eventfd_write(cancel_.get(), 1);
}

absl::Status ByteStream::CheckReading() const {
  if (Now() >= absl::FromUnixNanos(last_activity_nanos_) + idle_) {
    return absl::DeadlineExceededError("the client is silent for too long");
  }
  pollfd polled[] = {{socket_.get(), POLLRDHUP, 0},
                     {stop_reading_.get(), POLLIN, 0}};
  if (poll(polled, 2, 0) <= 0) return absl::OkStatus();
  return polled[1].revents != 0 ? absl::CancelledError("the stream is over")
                                : absl::UnavailableError("the client left");
}

void ByteStream::DropInput(absl::Duration at_most,
                           absl::FunctionRef<bool()> done) {
  const absl::Time end = Now() + at_most;
  char dropped[4096];
  while (!done()) {
    const absl::Time step_end = std::min(end, Now() + kLookAgain);
    const absl::Status waited = Wait(POLLIN, cancel_.get(), step_end);
    if (absl::IsDeadlineExceeded(waited)) {
      if (Now() >= end || Now() < step_end) return;  // silent for too long
      continue;
    }
    if (!waited.ok()) return;
    const ssize_t count =
        recv(socket_.get(), dropped, sizeof(dropped), MSG_DONTWAIT);
    if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) return;
  }
}

void ByteStream::Linger(absl::Duration at_most) {
  shutdown(socket_.get(), SHUT_WR);
  DropInput(at_most, [] { return false; });
}

}  // namespace podvisor
