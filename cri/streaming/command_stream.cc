#include "cri/streaming/command_stream.h"

#include <atomic>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "base/status_macros.h"
#include "cri/streaming/input_queue.h"
#include "cri/streaming/size_messages.h"

namespace podvisor {
namespace {

using Kind = StreamPeer::Input::Kind;

// For the client to read the end and to close.
constexpr absl::Duration kLinger = absl::Seconds(5);
// How soon a client that leaves is noticed while the command takes no input.
constexpr absl::Duration kHangUpPoll = absl::Milliseconds(250);

enum class Role { kError, kStdin, kStdout, kStderr, kResize };

// One exec or attach between its client and `run`.
class CommandStream {
 public:
  CommandStream(ByteStream* bytes, SpdyConnection* connection,
                const ProcessStreams& streams)
      : bytes_(bytes),
        connection_(connection),
        queue_([this](bool is_stderr, absl::string_view data) {
          return TakeOutput(is_stderr, data);
        }) {
    wanted_[0] = true;
    wanted_[static_cast<int>(Role::kStdin)] = streams.in;
    wanted_[static_cast<int>(Role::kStdout)] = streams.out;
    wanted_[static_cast<int>(Role::kStderr)] = streams.err && !streams.tty;
    wanted_[static_cast<int>(Role::kResize)] = streams.tty;
  }

  absl::Status AwaitStreams(absl::Time deadline) {
    while (!IsComplete()) {
      ASSIGN_OR_RETURN(std::vector<SpdyEvent> events,
                       connection_->Receive(deadline));
      for (SpdyEvent& event : events) RETURN_IF_ERROR(Handle(std::move(event)));
    }
    return absl::OkStatus();
  }

  void Serve(ChannelVersion version, const CommandRunner& run) {
    std::thread runner([&] {
      Finish(version, run(&queue_));
      finished_ = true;
      bytes_->StopReading();
    });
    running_ = true;
    absl::Status status;
    while (status.ok()) {
      absl::StatusOr<std::vector<SpdyEvent>> events =
          connection_->Receive(absl::InfiniteFuture());
      status = events.status();
      if (!status.ok()) break;
      for (SpdyEvent& event : *events) {
        status = Handle(std::move(event));
        if (!status.ok()) break;
      }
    }
    // Cancelled is the runner's word that it has told the end, or the server's
    // that it ends.
    if (absl::IsCancelled(status)) {
      server_ends_ = !finished_;
    } else {
      bytes_->Cancel();
    }
    queue_.HangUp();
    runner.join();
    bytes_->Linger(kLinger);
  }

 private:
  static constexpr int kRoles = 5;

  uint32_t StreamOf(Role role) const { return ids_[static_cast<int>(role)]; }

  bool IsComplete() const {
    for (int i = 0; i < kRoles; ++i) {
      if (wanted_[i] && ids_[i] == 0) return false;
    }
    return true;
  }

  absl::Status Handle(SpdyEvent event) {
    if (const auto* opened = std::get_if<SpdyOpened>(&event)) {
      return Open(*opened);
    }
    if (auto* received = std::get_if<SpdyReceived>(&event)) {
      return Receive(received->stream, std::move(received->data));
    }
    if (const auto* closed = std::get_if<SpdyHalfClosed>(&event)) {
      if (closed->stream == StreamOf(Role::kStdin)) {
        return Push({.kind = Kind::kEndOfData});
      }
    }
    if (const auto* aborted = std::get_if<SpdyAborted>(&event)) {
      if (aborted->stream == StreamOf(Role::kStdin)) {
        return Push({.kind = Kind::kEndOfData});
      }
    }
    return absl::OkStatus();
  }

  absl::Status Open(const SpdyOpened& opened) {
    static constexpr absl::string_view kNames[kRoles] = {
        "error", "stdin", "stdout", "stderr", "resize"};
    const absl::string_view type = FindHeader(opened.headers, "streamtype");
    for (int i = 0; i < kRoles; ++i) {
      if (type == kNames[i] && wanted_[i] && ids_[i] == 0) {
        ids_[i] = opened.stream;
        return connection_->Accept(opened.stream);
      }
    }
    return connection_->Reset(opened.stream);
  }

  absl::Status Receive(uint32_t stream, std::string data) {
    if (stream == StreamOf(Role::kStdin)) {
      return Push({.kind = Kind::kData, .data = std::move(data)});
    }
    if (stream != StreamOf(Role::kResize)) return absl::OkStatus();
    ASSIGN_OR_RETURN(const std::vector<TerminalSize> sizes,
                     sizes_.Receive(data));
    for (const TerminalSize& size : sizes) {
      RETURN_IF_ERROR(Push(
          {.kind = Kind::kResize, .width = size.width, .height = size.height}));
    }
    return absl::OkStatus();
  }

  // Waits while the command takes no input: only its own client waits with it.
  absl::Status Push(StreamPeer::Input input) {
    while (!queue_.Push(input, kHangUpPoll)) {
      if (!running_) return absl::ResourceExhaustedError("too early");
      RETURN_IF_ERROR(bytes_->CheckReading());
    }
    return absl::OkStatus();
  }

  absl::Status TakeOutput(bool is_stderr, absl::string_view data) {
    const uint32_t stream = StreamOf(is_stderr ? Role::kStderr : Role::kStdout);
    return stream == 0 ? absl::OkStatus() : connection_->Send(stream, data);
  }

  // The output's end comes before the status: clients read in this order.
  void Finish(ChannelVersion version, const absl::StatusOr<int>& exit_code) {
    const uint32_t error = StreamOf(Role::kError);
    for (const Role role : {Role::kStdout, Role::kStderr}) {
      if (StreamOf(role) != 0) {
        connection_->CloseWrite(StreamOf(role)).IgnoreError();
      }
    }
    const absl::Status ends =
        absl::UnavailableError("podvisord ends, and this stream with it");
    connection_
        ->Send(error,
               ExitMessage(version,
                           exit_code.ok() || !server_ends_ ? exit_code : ends))
        .IgnoreError();
    for (const Role role : {Role::kError, Role::kStdin, Role::kResize}) {
      if (StreamOf(role) != 0) {
        connection_->CloseWrite(StreamOf(role)).IgnoreError();
      }
    }
    connection_->GoAway().IgnoreError();
  }

  ByteStream* const bytes_;
  SpdyConnection* const connection_;
  InputQueue queue_;
  // By Role; changed before `run` starts only, as all have been seen by then.
  bool wanted_[kRoles] = {};
  uint32_t ids_[kRoles] = {};
  SizeMessages sizes_;
  bool running_ = false;  // of the reading thread
  std::atomic<bool> finished_{false};
  std::atomic<bool> server_ends_{false};
};

}  // namespace

void ServeCommandOverSpdy(ByteStream* bytes, SpdyConnection* connection,
                          const ProcessStreams& streams, ChannelVersion version,
                          absl::Duration creation, const CommandRunner& run) {
  CommandStream stream(bytes, connection, streams);
  if (!stream.AwaitStreams(bytes->Now() + creation).ok()) return;
  stream.Serve(version, run);
}

}  // namespace podvisor
