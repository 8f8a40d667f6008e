#include "guestagent/client/ack_scanner.h"

#include <algorithm>

namespace podvisor {

size_t AckScanner::Scan(absl::string_view piece) {
  const size_t before = tail_.size();
  tail_.append(piece.data(), piece.size());
  const size_t at = FindChannelAck(tail_, nonce_);
  if (at != absl::string_view::npos) {
    ack_ = MatchChannelAck(absl::string_view(tail_).substr(at));
    discarded_ += at;
    tail_.clear();
    return at + kChannelAckSize - before;
  }
  const size_t kept = std::min(tail_.size(), kChannelAckSize - 1);
  discarded_ += tail_.size() - kept;
  tail_.erase(0, tail_.size() - kept);
  return piece.size();
}

}  // namespace podvisor
