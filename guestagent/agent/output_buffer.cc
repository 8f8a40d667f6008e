#include "guestagent/agent/output_buffer.h"

#include <algorithm>
#include <cstdlib>

#include "absl/strings/str_cat.h"

namespace podvisor {
namespace {

// Acknowledged bytes that may lie about before the rest is moved down.
constexpr size_t kCompactBytes = 64 << 10;

}  // namespace

void OutputBuffer::Append(absl::string_view data) {
  if (closed_ || data.size() > Room()) std::abort();
  data_.append(data.data(), data.size());
}

std::string OutputBuffer::Read(uint64_t offset, size_t max_bytes) const {
  if (offset < begin_ || offset > end()) std::abort();
  const size_t skip = static_cast<size_t>(offset - begin_);
  return data_.substr(head_ + skip, std::min(max_bytes, size() - skip));
}

absl::Status OutputBuffer::Acknowledge(uint64_t offset) {
  if (offset <= begin_) return absl::OkStatus();
  if (offset > end()) {
    return absl::OutOfRangeError(absl::StrCat(
        "offset ", offset, " is beyond the end of the output, ", end()));
  }
  head_ += static_cast<size_t>(offset - begin_);
  begin_ = offset;
  if (head_ == data_.size()) {
    // An idle container keeps no buffer.
    std::string().swap(data_);
    head_ = 0;
  } else if (head_ >= kCompactBytes) {
    data_.erase(0, head_);
    head_ = 0;
  }
  return absl::OkStatus();
}

}  // namespace podvisor
