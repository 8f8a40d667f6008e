#include "cri/streaming/channel_messages.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace podvisor {
namespace {

// k8s.io/apimachinery remotecommand.StreamClose.
constexpr uint8_t kCloseSignal = 255;
constexpr size_t kBase64Group = 4;

}  // namespace

ChannelProtocol ChannelProtocolOf(absl::string_view name) {
  ChannelProtocol protocol;
  protocol.base64 = absl::StrContains(name, "base64.");
  protocol.has_close = absl::StartsWith(name, "v5.");
  if (!protocol.has_close && !absl::StartsWith(name, "v4.")) {
    protocol.version = ChannelVersion::kPlainText;
  }
  return protocol;
}

std::string ChannelMessage(const ChannelProtocol& protocol, uint8_t channel,
                           absl::string_view data) {
  return protocol.base64
             ? absl::StrCat(std::string(1, static_cast<char>('0' + channel)),
                            absl::Base64Escape(data))
             : absl::StrCat(std::string(1, static_cast<char>(channel)), data);
}

WebSocketSession::Type ChannelMessageType(const ChannelProtocol& protocol) {
  return protocol.base64 ? WebSocketSession::Type::kText
                         : WebSocketSession::Type::kBinary;
}

absl::StatusOr<std::optional<ChannelInput>> ChannelReader::Receive(
    const WebSocketReceived& piece) {
  absl::string_view data = piece.data;
  if (!channel_.has_value() && !data.empty()) {
    const auto first = static_cast<uint8_t>(data.front());
    channel_ = static_cast<uint8_t>(protocol_.base64 ? first - '0' : first);
    data.remove_prefix(1);
  }
  // An empty message belongs to no channel and says nothing.
  if (!channel_.has_value()) return std::nullopt;
  const uint8_t channel = *channel_;
  if (piece.ends_message) channel_.reset();
  if (protocol_.has_close && channel == kCloseSignal) {
    return ReceiveClose(data, piece.ends_message);
  }
  ChannelInput input;
  input.channel = channel;
  if (protocol_.base64) {
    ASSIGN_OR_RETURN(input.data, FromBase64(data, piece.ends_message));
  } else {
    input.data = std::string(data);
  }
  if (input.data.empty()) return std::nullopt;
  return input;
}

absl::StatusOr<std::optional<ChannelInput>> ChannelReader::ReceiveClose(
    absl::string_view data, bool ends_message) {
  if (rest_.size() + data.size() > 1) {
    return absl::DataLossError("more than one channel is to be closed");
  }
  absl::StrAppend(&rest_, data);
  if (!ends_message) return std::nullopt;
  if (rest_.empty()) return absl::DataLossError("no channel is to be closed");
  ChannelInput input;
  input.channel = static_cast<uint8_t>(rest_.front());
  input.is_close = true;
  rest_.clear();
  return input;
}

absl::StatusOr<std::string> ChannelReader::FromBase64(absl::string_view text,
                                                      bool ends_message) {
  for (const char letter : text) {
    if (!absl::ascii_isspace(static_cast<unsigned char>(letter))) {
      rest_.push_back(letter);
    }
  }
  const std::string groups =
      rest_.substr(0, rest_.size() / kBase64Group * kBase64Group);
  rest_.erase(0, groups.size());
  // Only the last group has padding.
  const size_t padding = groups.find_first_of("=.");
  const bool is_padded = padding != std::string::npos;
  std::string bytes;
  if ((padded_ && !(groups.empty() && rest_.empty())) ||
      (is_padded && (padding + 2 < groups.size() || !rest_.empty())) ||
      (ends_message && !rest_.empty()) ||
      !absl::Base64Unescape(groups, &bytes)) {
    return absl::DataLossError("no base64");
  }
  padded_ = (padded_ || is_padded) && !ends_message;
  return bytes;
}

}  // namespace podvisor
