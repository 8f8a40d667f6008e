#ifndef PODVISOR_CRI_STREAMING_WEBSOCKET_CLIENT_FRAME_H_
#define PODVISOR_CRI_STREAMING_WEBSOCKET_CLIENT_FRAME_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace podvisor {

// For tests: a frame as a client sends it (RFC 6455 5.2), masked. `first` is
// the byte with the final bit and the opcode.
inline std::string WebSocketClientFrame(uint8_t first,
                                        absl::string_view payload,
                                        absl::string_view mask = "mask") {
  std::string frame(1, static_cast<char>(first));
  const size_t size = payload.size();
  const int length_bytes = size < 126 ? 0 : size <= UINT16_MAX ? 2 : 8;
  frame += static_cast<char>(0x80 | (length_bytes == 0   ? size
                                     : length_bytes == 2 ? 126
                                                         : 127));
  for (int i = length_bytes - 1; i >= 0; --i) {
    frame += static_cast<char>(size >> 8 * i & 0xff);
  }
  frame.append(mask.data(), mask.size());
  for (size_t i = 0; i < size; ++i) {
    frame += static_cast<char>(payload[i] ^ mask[i % 4]);
  }
  return frame;
}

// First bytes of whole messages and control frames.
constexpr uint8_t kTextFrame = 0x81;
constexpr uint8_t kBinaryFrame = 0x82;
constexpr uint8_t kCloseFrame = 0x88;
constexpr uint8_t kPingFrame = 0x89;
constexpr uint8_t kPongFrame = 0x8a;

}  // namespace podvisor

#endif  // PODVISOR_CRI_STREAMING_WEBSOCKET_CLIENT_FRAME_H_
