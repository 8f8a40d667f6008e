#include "base/clean_text.h"

#include <cstdint>

namespace podvisor {
namespace {

// The length of the valid UTF-8 sequence at the start of `text` and its code
// point; length 0 when it is invalid, overlong or a surrogate.
size_t DecodeUtf8(absl::string_view text, uint32_t& point) {
  const auto at = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = at(0);
  size_t length = 0;
  if (lead < 0x80) {
    point = lead;
    return 1;
  }
  if (lead >= 0xc2 && lead < 0xe0) {
    length = 2;
    point = lead & 0x1f;
  } else if (lead >= 0xe0 && lead < 0xf0) {
    length = 3;
    point = lead & 0x0f;
  } else if (lead >= 0xf0 && lead < 0xf5) {
    length = 4;
    point = lead & 0x07;
  } else {
    return 0;
  }
  if (text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((at(i) & 0xc0) != 0x80) return 0;
    point = (point << 6) | (at(i) & 0x3f);
  }
  constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  if (point < kLeast[length] || point > 0x10ffff) return 0;
  if (point >= 0xd800 && point < 0xe000) return 0;
  return length;
}

bool IsControl(uint32_t point) {
  return point < 0x20 || (point >= 0x7f && point < 0xa0) || point == 0x2028 ||
         point == 0x2029;
}

}  // namespace

std::string CleanText(absl::string_view text, size_t max_bytes) {
  std::string clean;
  while (!text.empty()) {
    uint32_t point = 0;
    const size_t length = DecodeUtf8(text, point);
    absl::string_view piece = text.substr(0, length);
    if (length == 0) {
      piece = "?";
    } else if (IsControl(point)) {
      piece = " ";
    }
    if (clean.size() + piece.size() > max_bytes) break;
    clean.append(piece.data(), piece.size());
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return clean;
}

}  // namespace podvisor
