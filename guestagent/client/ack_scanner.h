#ifndef PODVISOR_GUESTAGENT_CLIENT_ACK_SCANNER_H_
#define PODVISOR_GUESTAGENT_CLIENT_ACK_SCANNER_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "guestagent/channel_format.h"

namespace podvisor {

// Finds the ACK of one nonce in a stream that arrives in pieces, and says how
// much of each piece belongs before the HTTP/2 session. Pure; holds at most 31
// bytes between calls.
class AckScanner {
 public:
  explicit AckScanner(const ChannelNonce& nonce) : nonce_(nonce) {}

  // Looks at the next bytes of the stream. Returns how many of them to take:
  // all, or those up to the end of the ACK. Not to be called after found().
  size_t Scan(absl::string_view piece);

  bool found() const { return ack_.has_value(); }
  const ChannelAck& ack() const { return *ack_; }
  // Bytes taken so far that were not the ACK, unless they may begin one.
  uint64_t discarded() const { return discarded_; }

 private:
  ChannelNonce nonce_;
  std::string tail_;  // what may be the beginning of the ACK
  std::optional<ChannelAck> ack_;
  uint64_t discarded_ = 0;
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_CLIENT_ACK_SCANNER_H_
