#include "cri/streaming/command_stream.h"

#include <atomic>
#include <thread>
#include <utility>
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

// Whether the client, which broke the protocol or has closed, still awaits an
// answer to that.
bool MayBeAnswered(const absl::Status& status) {
  return absl::IsDataLoss(status) || absl::IsOutOfRange(status);
}

// One exec or attach between its client and `run`.
class CommandStream {
 public:
  CommandStream(ByteStream* bytes, CommandChannels* channels)
      : bytes_(bytes),
        channels_(channels),
        queue_([channels](bool is_stderr, absl::string_view data) {
          return channels->Send(
              is_stderr ? CommandChannel::kStderr : CommandChannel::kStdout,
              data);
        }) {}

  absl::Status AwaitChannels(absl::Time deadline) {
    while (!channels_->AreOpen()) RETURN_IF_ERROR(Receive(deadline));
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
    while (status.ok()) status = Receive(absl::InfiniteFuture());
    // Cancelled is the runner's word that it has told the end, or the server's
    // that it ends.
    if (absl::IsCancelled(status)) {
      server_ends_ = !finished_;
    } else if (MayBeAnswered(status)) {
      // What closes the connection may wait behind output that is written now.
      queue_.HangUp();
      bytes_->DropInput(kLinger, [this] { return finished_.load(); });
      if (!finished_) bytes_->Cancel();
    } else {
      bytes_->Cancel();
    }
    queue_.HangUp();
    runner.join();
    bytes_->Linger(kLinger);
  }

 private:
  absl::Status Receive(absl::Time deadline) {
    ASSIGN_OR_RETURN(std::vector<CommandInput> inputs,
                     channels_->Receive(deadline));
    for (CommandInput& input : inputs) RETURN_IF_ERROR(Handle(&input));
    return absl::OkStatus();
  }

  absl::Status Handle(CommandInput* input) {
    if (input->channel == CommandChannel::kStdin) {
      return input->is_end
                 ? Push({.kind = Kind::kEndOfData})
                 : Push({.kind = Kind::kData, .data = std::move(input->data)});
    }
    if (input->channel != CommandChannel::kResize) return absl::OkStatus();
    ASSIGN_OR_RETURN(const std::vector<TerminalSize> sizes,
                     sizes_.Receive(input->data));
    for (const TerminalSize& size : sizes) {
      RETURN_IF_ERROR(Push(
          {.kind = Kind::kResize, .width = size.width, .height = size.height}));
    }
    return absl::OkStatus();
  }

  // Waits while the command takes no input: only its own client waits with it.
  absl::Status Push(const StreamPeer::Input& input) {
    while (!queue_.Push(input, kHangUpPoll)) {
      if (!running_) return absl::ResourceExhaustedError("too early");
      RETURN_IF_ERROR(bytes_->CheckReading());
      channels_->KeepAlive();
    }
    return absl::OkStatus();
  }

  void Finish(ChannelVersion version, const absl::StatusOr<int>& exit_code) {
    const absl::Status ends =
        absl::UnavailableError("podvisord ends, and this stream with it");
    channels_->End(ExitMessage(
        version, exit_code.ok() || !server_ends_ ? exit_code : ends));
  }

  ByteStream* const bytes_;
  CommandChannels* const channels_;
  InputQueue queue_;
  SizeMessages sizes_;
  bool running_ = false;  // of the reading thread
  std::atomic<bool> finished_{false};
  std::atomic<bool> server_ends_{false};
};

}  // namespace

void ServeCommand(ByteStream* bytes, CommandChannels* channels,
                  ChannelVersion version, absl::Duration creation,
                  const CommandRunner& run) {
  CommandStream stream(bytes, channels);
  if (!stream.AwaitChannels(bytes->Now() + creation).ok()) return;
  stream.Serve(version, run);
}

}  // namespace podvisor
