#include "cri/streaming/forwarded_port.h"

#include <utility>

#include "absl/time/time.h"
#include "base/status_macros.h"

namespace podvisor {
namespace {

constexpr absl::Duration kStallLimit = absl::Minutes(1);
constexpr absl::Duration kHangUpPoll = absl::Milliseconds(250);

}  // namespace

ForwardedPort::ForwardedPort(uint16_t port, const PortDialer& dial,
                             InputQueue::Output output,
                             std::function<void(const absl::Status&)> end)
    : queue_(std::move(output)),
      thread_([this, port, &dial, end = std::move(end)] {
        end(dial(port, &queue_));
        queue_.StopInput();
        done_ = true;
      }) {}

ForwardedPort::~ForwardedPort() {
  queue_.HangUp();
  thread_.join();
}

absl::StatusOr<bool> ForwardedPort::Push(const StreamPeer::Input& input,
                                         const ByteStream& bytes) {
  const absl::Time end = bytes.Now() + kStallLimit;
  while (!queue_.Push(input, kHangUpPoll)) {
    RETURN_IF_ERROR(bytes.CheckReading());
    if (bytes.Now() < end) continue;
    queue_.HangUp();
    return false;
  }
  return true;
}

}  // namespace podvisor
