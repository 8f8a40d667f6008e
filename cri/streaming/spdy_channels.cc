#include "cri/streaming/spdy_channels.h"

#include <utility>
#include <variant>

#include "base/status_macros.h"

namespace podvisor {
namespace {

constexpr std::array<absl::string_view, kCommandChannels> kStreamTypes = {
    "stdin", "stdout", "stderr", "error", "resize"};

}  // namespace

SpdyChannels::SpdyChannels(ByteChannel* bytes, std::string begin,
                           const ProcessStreams& streams)
    : connection_(bytes, std::move(begin)), wanted_(WantedChannels(streams)) {}

bool SpdyChannels::AreOpen() const {
  for (size_t i = 0; i < kCommandChannels; ++i) {
    if (wanted_[i] && ids_[i] == 0) return false;
  }
  return true;
}

absl::StatusOr<std::vector<CommandInput>> SpdyChannels::Receive(
    absl::Time deadline) {
  ASSIGN_OR_RETURN(std::vector<SpdyEvent> events,
                   connection_.Receive(deadline));
  std::vector<CommandInput> inputs;
  for (SpdyEvent& event : events) {
    if (const auto* opened = std::get_if<SpdyOpened>(&event)) {
      RETURN_IF_ERROR(Open(*opened));
    } else if (auto* received = std::get_if<SpdyReceived>(&event)) {
      Append(received->stream, std::move(received->data), false, &inputs);
    } else if (const auto* closed = std::get_if<SpdyHalfClosed>(&event)) {
      Append(closed->stream, "", true, &inputs);
    } else if (const auto* aborted = std::get_if<SpdyAborted>(&event)) {
      Append(aborted->stream, "", true, &inputs);
    }
  }
  return inputs;
}

absl::Status SpdyChannels::Open(const SpdyOpened& opened) {
  const absl::string_view type = FindHeader(opened.headers, "streamtype");
  for (size_t i = 0; i < kCommandChannels; ++i) {
    if (type == kStreamTypes[i] && wanted_[i] && ids_[i] == 0) {
      ids_[i] = opened.stream;
      return connection_.Accept(opened.stream);
    }
  }
  return connection_.Reset(opened.stream);
}

void SpdyChannels::Append(uint32_t stream, std::string data, bool is_end,
                          std::vector<CommandInput>* inputs) const {
  for (size_t i = 0; i < kCommandChannels; ++i) {
    if (ids_[i] == stream) {
      inputs->push_back(
          {static_cast<CommandChannel>(i), std::move(data), is_end});
      return;
    }
  }
}

absl::Status SpdyChannels::Send(CommandChannel channel,
                                absl::string_view data) {
  const uint32_t stream = ids_[static_cast<size_t>(channel)];
  return stream == 0 ? absl::OkStatus() : connection_.Send(stream, data);
}

void SpdyChannels::Close(CommandChannel channel) {
  const uint32_t stream = ids_[static_cast<size_t>(channel)];
  if (stream != 0) connection_.CloseWrite(stream).IgnoreError();
}

void SpdyChannels::End(absl::string_view message) {
  Close(CommandChannel::kStdout);
  Close(CommandChannel::kStderr);
  Send(CommandChannel::kError, message).IgnoreError();
  Close(CommandChannel::kError);
  Close(CommandChannel::kStdin);
  Close(CommandChannel::kResize);
  connection_.GoAway().IgnoreError();
}

}  // namespace podvisor
