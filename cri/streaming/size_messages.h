#ifndef PODVISOR_CRI_STREAMING_SIZE_MESSAGES_H_
#define PODVISOR_CRI_STREAMING_SIZE_MESSAGES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace podvisor {

// Of a terminal, in characters.
struct TerminalSize {
  uint16_t width = 0;
  uint16_t height = 0;

  bool operator==(const TerminalSize&) const = default;
};

// What arrives on a resize stream: {"Width":w,"Height":h}, one JSON object
// after the other, cut anywhere. Not thread-safe; the client is untrusted.
class SizeMessages {
 public:
  // The sizes that `bytes` complete. InvalidArgument: no such object, or one
  // that does not end; the stream is of no use afterwards.
  absl::StatusOr<std::vector<TerminalSize>> Receive(absl::string_view bytes);

 private:
  std::string partial_;
};

}  // namespace podvisor

#endif  // PODVISOR_CRI_STREAMING_SIZE_MESSAGES_H_
