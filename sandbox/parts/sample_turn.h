#ifndef PODVISOR_SANDBOX_PARTS_SAMPLE_TURN_H_
#define PODVISOR_SANDBOX_PARTS_SAMPLE_TURN_H_

#include "absl/time/time.h"

namespace podvisor {

// Whose turn it is to ask one guest for its usage: one at a time, and a guest
// that does not answer is asked ever less often, however many want to know.
//
// Decides only, by Clock::Elapsed(); not thread-safe.
class SampleTurn {
 public:
  // Whether the caller is to take a sample and call End() after it.
  bool Begin(absl::Duration now);

  // Whether another sample was wanted while this one was taken: what it shows
  // may be older than that wish.
  bool End(bool answered, absl::Duration now);

 private:
  bool under_way_ = false;
  bool again_ = false;
  absl::Duration backoff_;
  absl::Duration not_before_ = -absl::InfiniteDuration();
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_PARTS_SAMPLE_TURN_H_
