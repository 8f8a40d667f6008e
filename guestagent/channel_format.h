#ifndef PODVISOR_GUESTAGENT_CHANNEL_FORMAT_H_
#define PODVISOR_GUESTAGENT_CHANNEL_FORMAT_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"

namespace podvisor {

// The bytes that precede every HTTP/2 session on the agent channel
// (docs/agent-protocol.md). A serial port has no connections: bytes of an
// earlier host reach the next one, and a hang-up may be missed. So the host
// begins each session with a HELLO that carries a fresh nonce, and discards
// what it reads until the guest's ACK returns that nonce. The secret, which
// the guest learns from the first HELLO, keeps a container's output from being
// taken for a HELLO.
//
//   HELLO  host -> guest   magic[8] secret[16] nonce[16] version:u32 flags:u32
//   ACK    guest -> host   magic[8] nonce[16] version:u32 flags:u32
//
// Integers are little-endian. Pure functions; the header serves both ends.
inline constexpr size_t kChannelMagicSize = 8;
inline constexpr size_t kChannelSecretSize = 16;
inline constexpr size_t kChannelNonceSize = 16;
inline constexpr size_t kChannelHelloSize =
    kChannelMagicSize + kChannelSecretSize + kChannelNonceSize + 8;
inline constexpr size_t kChannelAckSize =
    kChannelMagicSize + kChannelNonceSize + 8;
inline constexpr uint32_t kChannelVersion = 1;

static_assert(kChannelHelloSize == 48);
static_assert(kChannelAckSize == 32);

inline constexpr std::array<char, kChannelMagicSize> kChannelHelloMagic = {
    'P', 'V', 'H', 'E', 'L', 'L', 'O', 1};
inline constexpr std::array<char, kChannelMagicSize> kChannelAckMagic = {
    'P', 'V', 'A', 'C', 'K', 1, 0, 0};

using ChannelSecret = std::array<char, kChannelSecretSize>;
using ChannelNonce = std::array<char, kChannelNonceSize>;

struct ChannelHello {
  ChannelSecret secret = {};
  ChannelNonce nonce = {};
  uint32_t version = kChannelVersion;
  uint32_t flags = 0;

  constexpr bool operator==(const ChannelHello&) const = default;
};

struct ChannelAck {
  ChannelNonce nonce = {};
  uint32_t version = kChannelVersion;
  uint32_t flags = 0;

  constexpr bool operator==(const ChannelAck&) const = default;
};

namespace channel_format_internal {

template <size_t N>
constexpr void Put(const std::array<char, N>& from, char* to) {
  std::copy(from.begin(), from.end(), to);
}

template <size_t N>
constexpr std::array<char, N> Get(const char* from) {
  std::array<char, N> result = {};
  std::copy(from, from + N, result.begin());
  return result;
}

constexpr void PutU32(uint32_t value, char* to) {
  for (int i = 0; i < 4; ++i) {
    to[i] = static_cast<char>(static_cast<uint8_t>(value >> (8 * i)));
  }
}

constexpr uint32_t GetU32(const char* from) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) {
    value |= static_cast<uint32_t>(static_cast<uint8_t>(from[i])) << (8 * i);
  }
  return value;
}

}  // namespace channel_format_internal

constexpr std::array<char, kChannelHelloSize> EncodeChannelHello(
    const ChannelHello& hello) {
  std::array<char, kChannelHelloSize> bytes = {};
  channel_format_internal::Put(kChannelHelloMagic, bytes.data());
  channel_format_internal::Put(hello.secret, bytes.data() + 8);
  channel_format_internal::Put(hello.nonce, bytes.data() + 24);
  channel_format_internal::PutU32(hello.version, bytes.data() + 40);
  channel_format_internal::PutU32(hello.flags, bytes.data() + 44);
  return bytes;
}

constexpr std::array<char, kChannelAckSize> EncodeChannelAck(
    const ChannelAck& ack) {
  std::array<char, kChannelAckSize> bytes = {};
  channel_format_internal::Put(kChannelAckMagic, bytes.data());
  channel_format_internal::Put(ack.nonce, bytes.data() + 8);
  channel_format_internal::PutU32(ack.version, bytes.data() + 24);
  channel_format_internal::PutU32(ack.flags, bytes.data() + 28);
  return bytes;
}

// The HELLO that `bytes` begin with, of any secret and any version, or nothing.
inline std::optional<ChannelHello> MatchChannelHello(absl::string_view bytes) {
  if (bytes.size() < kChannelHelloSize ||
      !std::equal(kChannelHelloMagic.begin(), kChannelHelloMagic.end(),
                  bytes.data())) {
    return std::nullopt;
  }
  ChannelHello hello;
  hello.secret =
      channel_format_internal::Get<kChannelSecretSize>(bytes.data() + 8);
  hello.nonce =
      channel_format_internal::Get<kChannelNonceSize>(bytes.data() + 24);
  hello.version = channel_format_internal::GetU32(bytes.data() + 40);
  hello.flags = channel_format_internal::GetU32(bytes.data() + 44);
  return hello;
}

// The ACK that `bytes` begin with, of any nonce and any version, or nothing.
inline std::optional<ChannelAck> MatchChannelAck(absl::string_view bytes) {
  if (bytes.size() < kChannelAckSize ||
      !std::equal(kChannelAckMagic.begin(), kChannelAckMagic.end(),
                  bytes.data())) {
    return std::nullopt;
  }
  ChannelAck ack;
  ack.nonce = channel_format_internal::Get<kChannelNonceSize>(bytes.data() + 8);
  ack.version = channel_format_internal::GetU32(bytes.data() + 24);
  ack.flags = channel_format_internal::GetU32(bytes.data() + 28);
  return ack;
}

// Where in `bytes` the first whole HELLO with `secret` begins; npos when there
// is none.
inline size_t FindChannelHello(absl::string_view bytes,
                               const ChannelSecret& secret) {
  const absl::string_view magic(kChannelHelloMagic.data(),
                                kChannelHelloMagic.size());
  for (size_t at = bytes.find(magic); at != absl::string_view::npos;
       at = bytes.find(magic, at + 1)) {
    const std::optional<ChannelHello> hello =
        MatchChannelHello(bytes.substr(at));
    if (hello.has_value() && hello->secret == secret) return at;
  }
  return absl::string_view::npos;
}

// Where in `bytes` the first whole ACK of `nonce` begins; npos when there is
// none.
inline size_t FindChannelAck(absl::string_view bytes,
                             const ChannelNonce& nonce) {
  const absl::string_view magic(kChannelAckMagic.data(),
                                kChannelAckMagic.size());
  for (size_t at = bytes.find(magic); at != absl::string_view::npos;
       at = bytes.find(magic, at + 1)) {
    const std::optional<ChannelAck> ack = MatchChannelAck(bytes.substr(at));
    if (ack.has_value() && ack->nonce == nonce) return at;
  }
  return absl::string_view::npos;
}

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_CHANNEL_FORMAT_H_
