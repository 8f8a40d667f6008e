#include "guestagent/agent/lz4_block.h"

#include <cstdint>

namespace podvisor {
namespace {

constexpr size_t kShortestMatch = 4;
constexpr size_t kLongNibble = 15;

absl::Status Broken() { return absl::DataLossError("not an LZ4 block"); }

uint8_t TakeByte(absl::string_view* block) {
  const uint8_t byte = static_cast<uint8_t>(block->front());
  block->remove_prefix(1);
  return byte;
}

// The rest of a length whose nibble was full; false at the end of the block.
// Without an overflow: each byte of the input adds at most 255.
bool ExtendLength(absl::string_view* block, size_t* length) {
  if (*length != kLongNibble) return true;
  for (;;) {
    if (block->empty()) return false;
    const uint8_t more = TakeByte(block);
    *length += more;
    if (more != 255) return true;
  }
}

}  // namespace

absl::StatusOr<std::string> DecodeLz4Block(absl::string_view block,
                                           size_t max_bytes) {
  std::string out;
  while (!block.empty()) {
    const uint8_t token = TakeByte(&block);
    size_t literals = token >> 4;
    if (!ExtendLength(&block, &literals) || literals > block.size() ||
        literals > max_bytes - out.size()) {
      return Broken();
    }
    out.append(block.data(), literals);
    block.remove_prefix(literals);
    if (block.empty()) return out;  // the last sequence has no match

    if (block.size() < 2) return Broken();
    const size_t low = TakeByte(&block);
    const size_t distance = low | size_t{TakeByte(&block)} << 8;
    size_t match = token & 15;
    if (!ExtendLength(&block, &match)) return Broken();
    match += kShortestMatch;
    if (distance == 0 || distance > out.size() ||
        match > max_bytes - out.size()) {
      return Broken();
    }
    // Byte by byte: a match may reach into what it makes.
    for (size_t i = 0; i < match; ++i)
      out.push_back(out[out.size() - distance]);
  }
  return Broken();
}

}  // namespace podvisor
