#include "sandbox/parts/sample_turn.h"

#include <algorithm>
#include <utility>

namespace podvisor {
namespace {

constexpr absl::Duration kLeastBackoff = absl::Seconds(2);
constexpr absl::Duration kMostBackoff = absl::Minutes(1);

}  // namespace

bool SampleTurn::Begin(absl::Duration now) {
  if (under_way_) {
    again_ = true;
    return false;
  }
  if (now < not_before_) return false;
  under_way_ = true;
  return true;
}

bool SampleTurn::End(bool answered, absl::Duration now) {
  under_way_ = false;
  const bool again = std::exchange(again_, false);
  if (!answered) {
    backoff_ = std::clamp(2 * backoff_, kLeastBackoff, kMostBackoff);
    not_before_ = now + backoff_;
    return false;
  }
  backoff_ = absl::ZeroDuration();
  not_before_ = -absl::InfiniteDuration();
  return again;
}

}  // namespace podvisor
