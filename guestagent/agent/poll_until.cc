#include "guestagent/agent/poll_until.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/status_macros.h"

namespace podvisor {
namespace {

constexpr std::chrono::microseconds kFirstPause{1'000};
constexpr std::chrono::microseconds kLongestPause{20'000};

}  // namespace

absl::Status PollUntil(absl::Duration timeout,
                       const std::function<bool()>& cancelled,
                       absl::FunctionRef<absl::StatusOr<bool>()> done) {
  using SteadyClock = std::chrono::steady_clock;
  const absl::Duration bounded =
      std::clamp(timeout, absl::ZeroDuration(), absl::Hours(1));
  const SteadyClock::time_point end =
      SteadyClock::now() + absl::ToChronoNanoseconds(bounded);
  std::chrono::microseconds pause = kFirstPause;
  while (true) {
    ASSIGN_OR_RETURN(const bool is_done, done());
    if (is_done) return absl::OkStatus();
    if (cancelled && cancelled()) return absl::CancelledError("cancelled");
    const SteadyClock::time_point now = SteadyClock::now();
    if (now >= end) return absl::DeadlineExceededError("timed out");
    std::this_thread::sleep_for(
        std::min<SteadyClock::duration>(pause, end - now));
    pause = std::min(kLongestPause, pause * 5 / 4);
  }
}

}  // namespace podvisor
