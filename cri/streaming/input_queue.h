#ifndef PODVISOR_CRI_STREAMING_INPUT_QUEUE_H_
#define PODVISOR_CRI_STREAMING_INPUT_QUEUE_H_

#include <cstddef>
#include <deque>
#include <functional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "guestagent/client/guest_streams.h"

namespace podvisor {

// The peer of one guest stream, between the thread that reads a client and the
// threads that serve the guest. What the client sent and the guest has not
// taken is bounded. Thread-safe.
class InputQueue final : public StreamPeer {
 public:
  static constexpr size_t kMaxBytes = 256 << 10;
  // Each input counts for a little more than its data: tiny ones add up.
  static constexpr size_t kInputBytes = 64;

  using Output =
      std::function<absl::Status(bool is_stderr, absl::string_view data)>;

  // `output` is what TakeOutput() does.
  explicit InputQueue(Output output) : output_(std::move(output)) {}

  // False when there is no room for it within `at_most`. True, without a
  // trace, when nobody takes input any more.
  bool Push(Input input, absl::Duration at_most) ABSL_LOCKS_EXCLUDED(mutex_);
  // The client is gone; what it sent before is of no interest any more.
  void HangUp() ABSL_LOCKS_EXCLUDED(mutex_);

  // StreamPeer.
  Input NextInput() override ABSL_LOCKS_EXCLUDED(mutex_);
  void StopInput() override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnGone(std::function<void()> on_gone) override
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status TakeOutput(bool is_stderr, absl::string_view data) override {
    return output_(is_stderr, data);
  }

 private:
  const Output output_;
  absl::Mutex mutex_;
  std::deque<Input> inputs_ ABSL_GUARDED_BY(mutex_);
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  bool gone_ ABSL_GUARDED_BY(mutex_) = false;
  // Run under the lock, so that none runs after it was taken away.
  std::function<void()> on_gone_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace podvisor

#endif  // PODVISOR_CRI_STREAMING_INPUT_QUEUE_H_
