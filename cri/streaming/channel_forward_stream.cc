#include "cri/streaming/channel_forward_stream.h"

#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include "base/clean_text.h"
#include "base/status_macros.h"

namespace podvisor {
namespace {

using Kind = StreamPeer::Input::Kind;

// For the client to read the end and to close.
constexpr absl::Duration kLinger = absl::Seconds(5);
constexpr size_t kMaxErrorBytes = 1024;

uint8_t DataChannel(size_t index) { return static_cast<uint8_t>(2 * index); }
uint8_t ErrorChannel(size_t index) {
  return static_cast<uint8_t>(2 * index + 1);
}

class ChannelForwardStream {
 public:
  ChannelForwardStream(ByteStream* bytes, ChannelConnection* connection,
                       const PortDialer& dial)
      : bytes_(bytes), connection_(connection), dial_(dial) {}

  ~ChannelForwardStream() {
    // Those that write to the client are woken, then those that read.
    bytes_->Cancel();
    for (const auto& forward : forwards_) forward->HangUp();
  }

  absl::Status Begin(const std::vector<uint16_t>& ports) {
    running_ = ports.size();
    for (size_t i = 0; i < ports.size(); ++i) {
      const std::string port = {static_cast<char>(ports[i] & 0xff),
                                static_cast<char>(ports[i] >> 8)};
      RETURN_IF_ERROR(connection_->Send(DataChannel(i), port));
      RETURN_IF_ERROR(connection_->Send(ErrorChannel(i), port));
    }
    for (size_t i = 0; i < ports.size(); ++i) {
      forwards_.push_back(std::make_unique<ForwardedPort>(
          ports[i], dial_, ClientEnd::kWithTheGuests,
          [this, i](bool, absl::string_view data) {
            return data.empty() ? absl::OkStatus()
                                : connection_->Send(DataChannel(i), data);
          },
          [this, i](const absl::Status& status) { End(i, status); }));
    }
    return absl::OkStatus();
  }

  void Serve() {
    absl::Status status;
    while (status.ok()) status = Receive();
    if (absl::IsDataLoss(status) || absl::IsOutOfRange(status)) {
      // What closes the connection may wait behind output that is written now.
      for (const auto& forward : forwards_) forward->HangUp();
      bytes_->DropInput(kLinger, [this] { return running_ == 0; });
    }
    // The last connection has told its end.
    if (running_ == 0) bytes_->Linger(kLinger);
  }

 private:
  absl::Status Receive() {
    ASSIGN_OR_RETURN(std::vector<ChannelInput> inputs,
                     connection_->Receive(absl::InfiniteFuture()));
    for (ChannelInput& input : inputs) {
      const size_t index = input.channel / 2;
      if (input.channel % 2 != 0 || index >= forwards_.size()) continue;
      // One that takes nothing is hung up on, and says so itself.
      RETURN_IF_ERROR(
          forwards_[index]
              ->Push({.kind = Kind::kData, .data = std::move(input.data)},
                     *bytes_)
              .status());
    }
    return absl::OkStatus();
  }

  void End(size_t index, const absl::Status& status) {
    if (!status.ok()) {
      connection_
          ->Send(ErrorChannel(index),
                 CleanText(status.message(), kMaxErrorBytes))
          .IgnoreError();
    }
    if (--running_ > 0) return;
    connection_->Close();
    bytes_->StopReading();
  }

  ByteStream* const bytes_;
  ChannelConnection* const connection_;
  const PortDialer& dial_;
  std::atomic<size_t> running_{0};
  std::vector<std::unique_ptr<ForwardedPort>> forwards_;
};

}  // namespace

void ServeChannelForward(ByteStream* bytes, ChannelConnection* connection,
                         const std::vector<uint16_t>& ports,
                         const PortDialer& dial) {
  ChannelForwardStream stream(bytes, connection, dial);
  if (stream.Begin(ports).ok()) stream.Serve();
}

}  // namespace podvisor
