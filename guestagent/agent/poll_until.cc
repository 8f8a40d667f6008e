#include "guestagent/agent/poll_until.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "base/deadline.h"
#include "base/status_macros.h"

namespace podvisor {
namespace {

constexpr absl::Duration kLongestWait = absl::Hours(1);
constexpr absl::Duration kFirstPause = absl::Milliseconds(1);
constexpr absl::Duration kLongestPause = absl::Milliseconds(20);

}  // namespace

absl::Status PollUntil(absl::Duration timeout,
                       const std::function<bool()>& cancelled,
                       absl::FunctionRef<absl::StatusOr<bool>()> done) {
  const Deadline end = Deadline::After(std::min(timeout, kLongestWait));
  absl::Duration pause = kFirstPause;
  while (true) {
    ASSIGN_OR_RETURN(const bool is_done, done());
    if (is_done) return absl::OkStatus();
    if (cancelled && cancelled()) return absl::CancelledError("cancelled");
    const absl::Duration left = end.Left();
    if (left == absl::ZeroDuration()) {
      return absl::DeadlineExceededError("timed out");
    }
    absl::SleepFor(std::min(pause, left));
    pause = std::min(kLongestPause, pause * 5 / 4);
  }
}

}  // namespace podvisor
