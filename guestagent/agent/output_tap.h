#ifndef PODVISOR_GUESTAGENT_AGENT_OUTPUT_TAP_H_
#define PODVISOR_GUESTAGENT_AGENT_OUTPUT_TAP_H_

#include <cstddef>
#include <deque>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "base/deadline.h"

namespace podvisor {

// A second reader's share of a container's output, beside the log: what is
// produced from its making on, in the order in which it was read.
//
// Never makes the producer wait. A reader that lets more than kCapacity pile up
// is cut off: what is kept is dropped, and it is told.
//
// Thread-safe.
class OutputTap {
 public:
  static constexpr size_t kCapacity = 1 << 20;
  static constexpr size_t kMaxPieceBytes = 64 << 10;

  struct Piece {
    int stream = 0;  // 0: stdout, 1: stderr
    std::string data;
  };

  // The producer's side. After Fail() nothing is taken.
  void Append(int stream, absl::string_view data);
  void EndStream(int stream);
  // The reader learns `why` at once, without what is still kept.
  void Fail(absl::Status why);

  // The next piece. DeadlineExceeded: nothing until then. OutOfRange: both
  // streams have ended and were read. ResourceExhausted: cut off. Else what
  // Fail() said.
  absl::StatusOr<Piece> Next(Deadline deadline);

 private:
  void FailLocked(absl::Status why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  absl::Mutex mutex_;
  std::deque<Piece> pieces_ ABSL_GUARDED_BY(mutex_);
  size_t cost_ ABSL_GUARDED_BY(mutex_) = 0;
  bool ended_[2] ABSL_GUARDED_BY(mutex_) = {false, false};
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_OUTPUT_TAP_H_
