#ifndef PODVISOR_CRI_STREAMING_BIG_ENDIAN_H_
#define PODVISOR_CRI_STREAMING_BIG_ENDIAN_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace podvisor {

// Numbers as SPDY has them on the wire. `at` + 4 is within `bytes`.
inline uint32_t ReadBigEndian32(absl::string_view bytes, size_t at = 0) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) {
    value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  }
  return value;
}

inline void AppendBigEndian32(uint32_t value, std::string* bytes) {
  for (int shift = 24; shift >= 0; shift -= 8) {
    bytes->push_back(static_cast<char>(value >> shift & 0xff));
  }
}

}  // namespace podvisor

#endif  // PODVISOR_CRI_STREAMING_BIG_ENDIAN_H_
