#include "cri/streaming/spdy_session.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "cri/streaming/big_endian.h"

namespace podvisor {
namespace {

// SPDY draft 3, section 2.2: the frame's first eight bytes, and its bits.
constexpr size_t kFrameHeader = 8;
constexpr uint32_t kControlBit = 0x80000000;
constexpr uint32_t kStreamBits = 0x7fffffff;
constexpr uint32_t kLengthBits = 0x00ffffff;
constexpr uint8_t kFin = 1;
constexpr uint16_t kVersion = 3;

// Section 2.6.
enum ControlType : uint16_t {
  kSynStream = 1,
  kSynReply = 2,
  kRstStream = 3,
  kSettings = 4,
  kPing = 6,
  kGoAway = 7,
  kHeaders = 8,
  kWindowUpdate = 9,
};
constexpr uint32_t kCancel = 5;  // the status of a RST_STREAM

// One message of the largest data frame that a client reads at once.
constexpr size_t kMaxDataBytes = 64 << 10;

absl::Status Broken(absl::string_view what) {
  return absl::DataLossError(absl::StrCat("SPDY: ", what));
}

}  // namespace

absl::Status SpdySession::Receive(absl::string_view bytes,
                                  std::vector<SpdyEvent>* events) {
  while (!bytes.empty()) {
    if (in_data_) {
      ReceiveData(&bytes, events);
      continue;
    }
    size_t wanted = kFrameHeader;
    if (partial_.size() >= kFrameHeader) {
      wanted += ReadBigEndian32(partial_, 4) & kLengthBits;
    }
    const size_t taken = std::min(wanted - partial_.size(), bytes.size());
    partial_.append(bytes.data(), taken);
    bytes.remove_prefix(taken);
    if (partial_.size() < kFrameHeader) break;
    const uint32_t first = ReadBigEndian32(partial_);
    const uint32_t second = ReadBigEndian32(partial_, 4);
    const uint32_t length = second & kLengthBits;
    if ((first & kControlBit) == 0) {
      data_stream_ = first & kStreamBits;
      data_left_ = length;
      data_is_last_ = (second >> 24 & kFin) != 0;
      in_data_ = true;
      partial_.clear();
      // An empty one is over already, though no byte may follow.
      if (length == 0) ReceiveData(&bytes, events);
      continue;
    }
    if (length > kMaxControlBytes) return Broken("a frame is too large");
    if (partial_.size() < kFrameHeader + length) continue;
    const std::string frame = std::exchange(partial_, std::string());
    RETURN_IF_ERROR(ReceiveControl(frame, events));
  }
  return absl::OkStatus();
}

void SpdySession::ReceiveData(absl::string_view* bytes,
                              std::vector<SpdyEvent>* events) {
  const size_t length = std::min<size_t>(data_left_, bytes->size());
  const auto stream = streams_.find(data_stream_);
  // What still arrives on a stream that was reset is nobody's.
  const bool open = stream != streams_.end() && !stream->second.client_closed;
  if (open && length > 0) {
    events->push_back(
        SpdyReceived{data_stream_, std::string(bytes->substr(0, length))});
  }
  bytes->remove_prefix(length);
  data_left_ -= static_cast<uint32_t>(length);
  if (data_left_ > 0) return;
  in_data_ = false;
  if (open && data_is_last_) ClientCloses(data_stream_, events);
}

absl::Status SpdySession::ReceiveControl(absl::string_view frame,
                                         std::vector<SpdyEvent>* events) {
  const uint32_t first = ReadBigEndian32(frame);
  const auto flags = static_cast<uint8_t>(frame[4]);
  const absl::string_view body = frame.substr(kFrameHeader);
  if ((first >> 16 & 0x7fff) != kVersion) return Broken("another version");
  switch (first & 0xffff) {
    case kSynStream:
      return ReceiveOpening(flags, body, events);
    case kSynReply:
      return Broken("an answer to a stream that was not opened");
    case kRstStream:
      if (body.size() != 8) return Broken("a reset of a wrong length");
      ReceiveReset(body, events);
      return absl::OkStatus();
    case kPing:
      if (body.size() != 4) return Broken("a ping of a wrong length");
      // Even ones answer pings of ours, and there are none.
      if (ReadBigEndian32(body) % 2 == 1) AppendControl(kPing, 0, body);
      return absl::OkStatus();
    case kGoAway:
      events->emplace_back(std::in_place_type<SpdyGoneAway>);
      return absl::OkStatus();
    case kHeaders:
      return SkipHeaders(body, 4);
    default:
      return absl::OkStatus();  // section 2.2.1: unknown ones are ignored
  }
}

// Nobody here wants them, but the compression goes through them.
absl::Status SpdySession::SkipHeaders(absl::string_view body,
                                      size_t fixed_bytes) {
  if (body.size() < fixed_bytes) return Broken("headers of a wrong length");
  return reader_.Read(body.substr(fixed_bytes)).status();
}

absl::Status SpdySession::ReceiveOpening(uint8_t flags, absl::string_view body,
                                         std::vector<SpdyEvent>* events) {
  constexpr size_t kFixed = 10;  // stream, associated stream, priority, slot
  if (body.size() < kFixed) return Broken("an opening of a wrong length");
  const uint32_t stream = ReadBigEndian32(body) & kStreamBits;
  if (stream % 2 == 0 || stream <= last_stream_) {
    return Broken("a stream with a wrong number");
  }
  ASSIGN_OR_RETURN(SpdyHeaders headers, reader_.Read(body.substr(kFixed)));
  last_stream_ = stream;
  streams_[stream] = StreamState();
  if (streams_.size() > kMaxStreams) {
    Reset(stream);
    return absl::OkStatus();
  }
  events->push_back(SpdyOpened{stream, std::move(headers)});
  if ((flags & kFin) != 0) ClientCloses(stream, events);
  return absl::OkStatus();
}

void SpdySession::ReceiveReset(absl::string_view body,
                               std::vector<SpdyEvent>* events) {
  const uint32_t stream = ReadBigEndian32(body) & kStreamBits;
  if (streams_.erase(stream) > 0) events->push_back(SpdyAborted{stream});
}

void SpdySession::ClientCloses(uint32_t stream,
                               std::vector<SpdyEvent>* events) {
  streams_[stream].client_closed = true;
  events->push_back(SpdyHalfClosed{stream});
  ForgetIfClosed(stream);
}

void SpdySession::ForgetIfClosed(uint32_t stream) {
  const auto found = streams_.find(stream);
  if (found->second.client_closed && found->second.server_closed) {
    streams_.erase(found);
  }
}

void SpdySession::Accept(uint32_t stream) {
  if (streams_.count(stream) == 0) return;
  std::string body;
  AppendBigEndian32(stream, &body);
  AppendControl(kSynReply, 0, absl::StrCat(body, writer_.Write({})));
}

void SpdySession::Send(uint32_t stream, absl::string_view data) {
  const auto found = streams_.find(stream);
  if (found == streams_.end() || found->second.server_closed) return;
  while (!data.empty()) {
    const absl::string_view piece = data.substr(0, kMaxDataBytes);
    AppendBigEndian32(stream, &output_);
    AppendBigEndian32(static_cast<uint32_t>(piece.size()), &output_);
    output_.append(piece.data(), piece.size());
    data.remove_prefix(piece.size());
  }
}

void SpdySession::CloseWrite(uint32_t stream) {
  const auto found = streams_.find(stream);
  if (found == streams_.end() || found->second.server_closed) return;
  AppendBigEndian32(stream, &output_);
  AppendBigEndian32(uint32_t{kFin} << 24, &output_);
  found->second.server_closed = true;
  ForgetIfClosed(stream);
}

void SpdySession::Reset(uint32_t stream) {
  if (streams_.erase(stream) == 0) return;
  std::string body;
  AppendBigEndian32(stream, &body);
  AppendBigEndian32(kCancel, &body);
  AppendControl(kRstStream, 0, body);
}

void SpdySession::GoAway() {
  std::string body;
  AppendBigEndian32(last_stream_, &body);
  AppendBigEndian32(0, &body);
  AppendControl(kGoAway, 0, body);
}

void SpdySession::AppendControl(uint16_t type, uint8_t flags,
                                absl::string_view body) {
  AppendBigEndian32(kControlBit | uint32_t{kVersion} << 16 | type, &output_);
  AppendBigEndian32(uint32_t{flags} << 24 | static_cast<uint32_t>(body.size()),
                    &output_);
  output_.append(body.data(), body.size());
}

std::string SpdySession::TakeOutput() {
  return std::exchange(output_, std::string());
}

}  // namespace podvisor
