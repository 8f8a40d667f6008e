#include "cri/streaming/websocket_session.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace podvisor {
namespace {

// RFC 6455 5.2, the first two bytes.
constexpr uint8_t kFinalBit = 0x80;
constexpr uint8_t kReservedBits = 0x70;
constexpr uint8_t kOpcodeBits = 0x0f;
constexpr uint8_t kMaskBit = 0x80;
constexpr uint8_t kLengthBits = 0x7f;
// Lengths that say that the length follows.
constexpr uint8_t kLengthIn16Bits = 126;
constexpr uint8_t kLengthIn64Bits = 127;

// 5.2, opcodes. Those from kClose on are control frames.
constexpr uint8_t kContinuation = 0;
constexpr uint8_t kBinary = 2;
constexpr uint8_t kClose = 8;
constexpr uint8_t kPing = 9;

constexpr size_t kMaskBytes = 4;
constexpr size_t kMaxControlBytes = 125;  // 5.5

bool IsControl(uint8_t opcode) { return opcode >= kClose; }

uint64_t ReadNumber(absl::string_view bytes) {
  uint64_t value = 0;
  for (const char byte : bytes) value = value << 8 | static_cast<uint8_t>(byte);
  return value;
}

void AppendNumber(uint64_t value, int bytes, std::string* to) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) {
    to->push_back(static_cast<char>(value >> shift & 0xff));
  }
}

// Bytes of a head, as far as its first two tell.
size_t LengthBytes(uint8_t short_length) {
  if (short_length == kLengthIn16Bits) return 2;
  return short_length == kLengthIn64Bits ? 8 : 0;
}

size_t HeadBytes(absl::string_view begin) {
  if (begin.size() < 2) return 2;
  const auto second = static_cast<uint8_t>(begin[1]);
  return 2 + LengthBytes(second & kLengthBits) +
         ((second & kMaskBit) != 0 ? kMaskBytes : 0);
}

// 7.4.1 and 7.4.2: what may be in a close frame.
bool MayBeSent(uint64_t code) {
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
         (code >= 3000 && code <= 4999);
}

}  // namespace

absl::Status WebSocketSession::Receive(absl::string_view bytes,
                                       std::vector<WebSocketEvent>* events) {
  while (!bytes.empty() && !client_is_done_) {
    if (in_payload_) {
      RETURN_IF_ERROR(ReceivePayload(&bytes, events));
      continue;
    }
    const size_t taken =
        std::min(HeadBytes(head_) - head_.size(), bytes.size());
    head_.append(bytes.data(), taken);
    bytes.remove_prefix(taken);
    // The first two bytes have told how long it is only now.
    if (head_.size() < HeadBytes(head_)) continue;
    RETURN_IF_ERROR(ReceiveHead());
    // An empty one is over already, though no byte may follow.
    if (frame_.left == 0) RETURN_IF_ERROR(ReceivePayload(&bytes, events));
  }
  return absl::OkStatus();
}

absl::Status WebSocketSession::ReceiveHead() {
  const std::string head = std::exchange(head_, std::string());
  const auto first = static_cast<uint8_t>(head[0]);
  const auto second = static_cast<uint8_t>(head[1]);
  if ((first & kReservedBits) != 0) {
    return Broken(WebSocketCloseCode::kProtocolError, "an unknown extension");
  }
  if ((second & kMaskBit) == 0) {
    return Broken(WebSocketCloseCode::kProtocolError, "a frame without a mask");
  }
  frame_ = Frame();
  frame_.opcode = first & kOpcodeBits;
  frame_.is_final = (first & kFinalBit) != 0;
  const size_t length_bytes = LengthBytes(second & kLengthBits);
  frame_.left =
      length_bytes == 0
          ? second & kLengthBits
          : ReadNumber(absl::string_view(head).substr(2, length_bytes));
  // 5.2: "the minimal number of bytes MUST be used".
  if ((length_bytes == 2 && frame_.left < kLengthIn16Bits) ||
      (length_bytes == 8 && frame_.left <= UINT16_MAX)) {
    return Broken(WebSocketCloseCode::kProtocolError,
                  "a length of a wrong form");
  }
  std::copy_n(head.end() - kMaskBytes, kMaskBytes, frame_.mask);
  in_payload_ = true;
  return CheckHead();
}

// 5.4 and 5.5.
absl::Status WebSocketSession::CheckHead() {
  if (IsControl(frame_.opcode)) {
    if (frame_.opcode > kPong) {
      return Broken(WebSocketCloseCode::kProtocolError, "an unknown frame");
    }
    if (!frame_.is_final || frame_.left > kMaxControlBytes) {
      return Broken(WebSocketCloseCode::kProtocolError,
                    "a control frame that is cut or too large");
    }
    return absl::OkStatus();
  }
  if (frame_.opcode > kBinary) {
    return Broken(WebSocketCloseCode::kProtocolError, "an unknown frame");
  }
  if ((frame_.opcode == kContinuation) != in_message_) {
    return Broken(WebSocketCloseCode::kProtocolError,
                  "fragments in a wrong order");
  }
  if (frame_.left > kMaxFrameBytes) {
    return Broken(WebSocketCloseCode::kTooBig, "a frame is too large");
  }
  in_message_ = !frame_.is_final;
  return absl::OkStatus();
}

absl::Status WebSocketSession::ReceivePayload(
    absl::string_view* bytes, std::vector<WebSocketEvent>* events) {
  const auto length =
      static_cast<size_t>(std::min<uint64_t>(frame_.left, bytes->size()));
  std::string piece(bytes->substr(0, length));
  bytes->remove_prefix(length);
  for (char& byte : piece) {
    byte = static_cast<char>(byte ^ frame_.mask[frame_.mask_at]);
    frame_.mask_at = (frame_.mask_at + 1) % kMaskBytes;
  }
  frame_.left -= length;
  in_payload_ = frame_.left > 0;
  if (IsControl(frame_.opcode)) {
    control_ += piece;
    return in_payload_ ? absl::OkStatus() : ReceiveControl(events);
  }
  const bool ends_message = frame_.is_final && !in_payload_;
  if (!piece.empty() || ends_message) {
    events->push_back(WebSocketReceived{std::move(piece), ends_message});
  }
  return absl::OkStatus();
}

absl::Status WebSocketSession::ReceiveControl(
    std::vector<WebSocketEvent>* events) {
  const std::string payload = std::exchange(control_, std::string());
  if (frame_.opcode == kPing) AppendFrame(kPong, payload);
  if (frame_.opcode != kClose) return absl::OkStatus();
  // 5.5.1: nothing, or a code and why.
  if (payload.size() == 1 ||
      (payload.size() >= 2 && !MayBeSent(ReadNumber(payload.substr(0, 2))))) {
    return Broken(WebSocketCloseCode::kProtocolError, "a wrong close");
  }
  client_is_done_ = true;
  events->emplace_back(std::in_place_type<WebSocketClosed>);
  if (closed_) return absl::OkStatus();
  AppendFrame(kClose, payload.substr(0, 2));
  closed_ = true;
  return absl::OkStatus();
}

void WebSocketSession::Send(Type type, absl::string_view message) {
  AppendFrame(static_cast<uint8_t>(type), message);
}

void WebSocketSession::Close(WebSocketCloseCode code) {
  std::string payload;
  AppendNumber(static_cast<uint16_t>(code), 2, &payload);
  AppendFrame(kClose, payload);
  closed_ = true;
}

absl::Status WebSocketSession::Broken(WebSocketCloseCode code,
                                      absl::string_view what) {
  client_is_done_ = true;
  Close(code);
  return absl::DataLossError(absl::StrCat("WebSocket: ", what));
}

void WebSocketSession::AppendFrame(uint8_t opcode, absl::string_view payload) {
  if (closed_) return;
  output_.push_back(static_cast<char>(kFinalBit | opcode));
  if (payload.size() < kLengthIn16Bits) {
    output_.push_back(static_cast<char>(payload.size()));
  } else if (payload.size() <= UINT16_MAX) {
    output_.push_back(static_cast<char>(kLengthIn16Bits));
    AppendNumber(payload.size(), 2, &output_);
  } else {
    output_.push_back(static_cast<char>(kLengthIn64Bits));
    AppendNumber(payload.size(), 8, &output_);
  }
  output_.append(payload.data(), payload.size());
}

std::string WebSocketSession::TakeOutput() {
  return std::exchange(output_, std::string());
}

}  // namespace podvisor
