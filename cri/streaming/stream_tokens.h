#ifndef PODVISOR_CRI_STREAMING_STREAM_TOKENS_H_
#define PODVISOR_CRI_STREAMING_STREAM_TOKENS_H_

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "cri/streaming/stream_request.h"

namespace podvisor {

// What the URLs of Exec, Attach and PortForward stand for. A URL is all that a
// client of the streaming server has to show, so its token is 256 random bits,
// works once, and only for a while.
//
// Thread-safe.
class StreamTokens {
 public:
  // How long a client has to come, and how many may be awaited.
  static constexpr absl::Duration kLifetime = absl::Minutes(1);
  static constexpr size_t kMaxPending = 1000;

  // Borrows the clock.
  explicit StreamTokens(Clock* clock) : clock_(clock) {}

  // ResourceExhausted while kMaxPending are awaited.
  absl::StatusOr<std::string> Add(StreamRequest request);

  // What the token stands for, the first time that it is asked.
  std::optional<StreamRequest> Take(absl::string_view token);

 private:
  struct Pending {
    StreamRequest request;
    absl::Duration until;  // of Clock::Elapsed()
  };

  void DropExpired(absl::Duration now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Clock* const clock_;

  absl::Mutex mutex_;
  std::map<std::string, Pending, std::less<>> pending_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace podvisor

#endif  // PODVISOR_CRI_STREAMING_STREAM_TOKENS_H_
