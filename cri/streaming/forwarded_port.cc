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
                             ClientEnd client_end, InputQueue::Output output,
                             std::function<void(const absl::Status&)> end)
    : queue_([this, client_end, output = std::move(output)](
                 bool is_stderr, absl::string_view data) {
        const absl::Status taken = output(is_stderr, data);
        if (data.empty() && client_end == ClientEnd::kWithTheGuests) {
          EndInput();
        }
        return taken;
      }),
      thread_([this, port, &dial, end = std::move(end)] {
        end(dial(port, &queue_));
        queue_.StopInput();
        done_ = true;
      }) {}

ForwardedPort::~ForwardedPort() {
  queue_.HangUp();
  thread_.join();
}

void ForwardedPort::EndInput() {
  // One that has ended and still has not taken what was sent never will.
  if (!queue_.Push({.kind = StreamPeer::Input::Kind::kEndOfData},
                   absl::ZeroDuration())) {
    queue_.HangUp();
  }
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
