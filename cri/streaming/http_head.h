#ifndef PODVISOR_CRI_STREAMING_HTTP_HEAD_H_
#define PODVISOR_CRI_STREAMING_HTTP_HEAD_H_

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace podvisor {

// The head of one HTTP request.
struct HttpHead {
  std::string method;
  std::string target;
  std::vector<std::pair<std::string, std::string>> fields;  // as received
};

// Parses heads of at most kMaxHeadBytes; requests with a body are refused, so
// that whatever follows the head belongs to the protocol upgraded to.
struct HttpHeadResult {
  enum class State { kIncomplete, kComplete, kBad };
  State state = State::kIncomplete;
  HttpHead head;          // when complete
  size_t head_bytes = 0;  // what of the input it was
};
constexpr size_t kMaxHeadBytes = 16 << 10;
HttpHeadResult ParseHttpHead(absl::string_view bytes);

// All items of a field that is a list, also over several lines.
std::vector<std::string> FieldItems(const HttpHead& head,
                                    absl::string_view name);
// Whether one of them is `wanted`, in any case.
bool HasFieldItem(const HttpHead& head, absl::string_view name,
                  absl::string_view wanted);

}  // namespace podvisor

#endif  // PODVISOR_CRI_STREAMING_HTTP_HEAD_H_
