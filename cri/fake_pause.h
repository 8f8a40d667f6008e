#ifndef PODVISOR_CRI_FAKE_PAUSE_H_
#define PODVISOR_CRI_FAKE_PAUSE_H_

#include <cstddef>
#include <functional>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "cri/pause.h"

namespace podvisor {

// Moves the clock instead of waiting. What is to happen meanwhile is a list:
// each pause takes the next entry, and after the last one the command is to
// end.
class FakePause final : public Pause {
 public:
  FakePause(FakeClock* clock, std::vector<std::function<void()>> meanwhile)
      : clock_(clock), meanwhile_(std::move(meanwhile)) {}

  bool For(absl::Duration time) override {
    if (next_ == meanwhile_.size()) return false;
    clock_->Advance(time);
    meanwhile_[next_++]();
    return true;
  }

 private:
  FakeClock* const clock_;
  const std::vector<std::function<void()>> meanwhile_;
  size_t next_ = 0;
};

}  // namespace podvisor

#endif  // PODVISOR_CRI_FAKE_PAUSE_H_
