#include "guestagent/agent/container_output.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"

namespace podvisor {

absl::StatusOr<std::shared_ptr<ContainerOutput>> ContainerOutput::Open(
    OutputPump* pump, UniqueFd out, UniqueFd err) {
  std::shared_ptr<ContainerOutput> output(new ContainerOutput(pump));
  UniqueFd* const fds[] = {&out, &err};
  for (int index = 0; index < 2; ++index) {
    const absl::Status watched = output->Watch(index, std::move(*fds[index]));
    if (!watched.ok()) {
      output->Abandon();
      return watched;
    }
  }
  return output;
}

absl::Status ContainerOutput::Watch(int index, UniqueFd fd) {
  absl::MutexLock lock(&mutex_);
  Stream& stream = streams_[index];
  if (!fd.valid()) {
    stream.buffer.Close();
    return absl::OkStatus();
  }
  if (fcntl(fd.get(), F_SETFL, O_NONBLOCK) != 0) {
    return ErrnoStatus(errno, "make an output pipe non-blocking");
  }
  // The callback waits for mutex_, so it sees the watch that Add() returns.
  ASSIGN_OR_RETURN(stream.watch,
                   pump_->Add(fd.get(), [self = shared_from_this(), index] {
                     self->OnReadable(index);
                   }));
  stream.fd = std::move(fd);
  return absl::OkStatus();
}

void ContainerOutput::OnReadable(int index) {
  absl::MutexLock lock(&mutex_);
  Stream& stream = streams_[index];
  if (!stream.fd.valid()) return;
  char data[kMaxChunkBytes];
  const size_t wanted = std::min(sizeof(data), stream.buffer.Room());
  const ssize_t count = read(stream.fd.get(), data, wanted);
  // A terminal whose last user is gone says EIO.
  if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) {
    CloseStream(index);
    return;
  }
  if (count > 0) {
    const absl::string_view piece(data, static_cast<size_t>(count));
    stream.buffer.Append(piece);
    for (const std::shared_ptr<OutputTap>& tap : taps_) {
      tap->Append(index, piece);
    }
  }
  stream.resting = stream.buffer.Room() == 0;
  if (!stream.resting) pump_->Rearm(stream.watch, stream.fd.get());
}

void ContainerOutput::CloseStream(int index) {
  Stream& stream = streams_[index];
  if (stream.fd.valid()) {
    pump_->Remove(stream.watch, stream.fd.get());
    stream.fd.Reset();
  }
  stream.buffer.Close();
  for (const std::shared_ptr<OutputTap>& tap : taps_) tap->EndStream(index);
}

absl::Status ContainerOutput::AcknowledgeStream(int index, uint64_t offset) {
  Stream& stream = streams_[index];
  RETURN_IF_ERROR(stream.buffer.Acknowledge(offset));
  // An acknowledgement that overtakes what this session sent.
  stream.sent = std::max(stream.sent, stream.buffer.begin());
  if (stream.resting && stream.fd.valid() && stream.buffer.Room() > 0) {
    stream.resting = false;
    pump_->Rearm(stream.watch, stream.fd.get());
  }
  return absl::OkStatus();
}

void ContainerOutput::CancelSession() {
  session_ = 0;
  if (cancel_ != nullptr) cancel_();
  cancel_ = nullptr;
}

absl::StatusOr<uint64_t> ContainerOutput::Begin(uint64_t stdout_offset,
                                                uint64_t stderr_offset,
                                                std::function<void()> cancel) {
  absl::MutexLock lock(&mutex_);
  if (abandoned_) return absl::NotFoundError("the container was deleted");
  const uint64_t offsets[] = {stdout_offset, stderr_offset};
  for (int index = 0; index < 2; ++index) {
    const OutputBuffer& buffer = streams_[index].buffer;
    if (offsets[index] < buffer.begin() || offsets[index] > buffer.end()) {
      return absl::OutOfRangeError(
          absl::StrCat("offset ", offsets[index], " is not in what is kept, ",
                       buffer.begin(), " to ", buffer.end()));
    }
  }
  CancelSession();
  for (int index = 0; index < 2; ++index) {
    streams_[index].sent = offsets[index];
    streams_[index].end_sent = false;
    RETURN_IF_ERROR(AcknowledgeStream(index, offsets[index]));
  }
  session_ = ++last_session_;
  cancel_ = std::move(cancel);
  return session_;
}

bool ContainerOutput::HasNews(uint64_t session) const {
  if (abandoned_ || session_ != session) return true;
  bool all_sent = true;
  for (const Stream& stream : streams_) {
    if (stream.sent < stream.buffer.end()) return true;
    if (stream.buffer.closed() && !stream.end_sent) return true;
    all_sent = all_sent && stream.end_sent;
  }
  return all_sent;
}

absl::StatusOr<std::optional<agent::v1::OutputChunk>> ContainerOutput::Next(
    uint64_t session) {
  absl::MutexLock lock(&mutex_);
  const auto has_news = [this, session]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(
                            mutex_) { return HasNews(session); };
  mutex_.Await(absl::Condition(&has_news));
  if (abandoned_) return absl::NotFoundError("the container was deleted");
  if (session_ != session) {
    if (last_session_ != session) {
      return absl::AbortedError("another reader took the output over");
    }
    return absl::CancelledError("the reader is gone");
  }
  for (int tried = 0; tried < 2; ++tried) {
    const int index = next_stream_;
    next_stream_ = 1 - next_stream_;
    Stream& stream = streams_[index];
    const bool has_data = stream.sent < stream.buffer.end();
    if (!has_data && (!stream.buffer.closed() || stream.end_sent)) continue;
    agent::v1::OutputChunk chunk;
    chunk.set_stream(index == 0 ? agent::v1::OutputChunk::STDOUT
                                : agent::v1::OutputChunk::STDERR);
    chunk.set_offset(stream.sent);
    chunk.set_data(stream.buffer.Read(stream.sent, kMaxChunkBytes));
    stream.sent += chunk.data().size();
    stream.end_sent =
        stream.buffer.closed() && stream.sent == stream.buffer.end();
    chunk.set_eof(stream.end_sent);
    return chunk;
  }
  return std::nullopt;
}

absl::Status ContainerOutput::Acknowledge(uint64_t session,
                                          uint64_t stdout_offset,
                                          uint64_t stderr_offset) {
  absl::MutexLock lock(&mutex_);
  if (session_ != session) return absl::CancelledError("the session has ended");
  RETURN_IF_ERROR(AcknowledgeStream(0, stdout_offset));
  return AcknowledgeStream(1, stderr_offset);
}

bool ContainerOutput::IsComplete() const {
  absl::MutexLock lock(&mutex_);
  return std::all_of(
      std::begin(streams_), std::end(streams_), [](const Stream& stream) {
        return stream.end_sent && stream.buffer.begin() == stream.buffer.end();
      });
}

void ContainerOutput::End(uint64_t session) {
  absl::MutexLock lock(&mutex_);
  if (session_ != session) return;
  session_ = 0;
  cancel_ = nullptr;
}

absl::StatusOr<std::shared_ptr<OutputTap>> ContainerOutput::OpenTap() {
  absl::MutexLock lock(&mutex_);
  if (abandoned_) return absl::NotFoundError("the container was deleted");
  if (taps_.size() >= kMaxTaps) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the container has ", kMaxTaps, " attached already"));
  }
  const std::shared_ptr<OutputTap> tap = std::make_shared<OutputTap>();
  for (int index = 0; index < 2; ++index) {
    if (streams_[index].buffer.closed()) tap->EndStream(index);
  }
  taps_.push_back(tap);
  return tap;
}

void ContainerOutput::CloseTap(const std::shared_ptr<OutputTap>& tap) {
  absl::MutexLock lock(&mutex_);
  taps_.erase(std::remove(taps_.begin(), taps_.end(), tap), taps_.end());
}

void ContainerOutput::Abandon() {
  absl::MutexLock lock(&mutex_);
  abandoned_ = true;
  for (const std::shared_ptr<OutputTap>& tap : taps_) {
    tap->Fail(absl::NotFoundError("the container was deleted"));
  }
  for (int index = 0; index < 2; ++index) {
    CloseStream(index);
    Stream& stream = streams_[index];
    (void)stream.buffer.Acknowledge(stream.buffer.end());
  }
  CancelSession();
}

}  // namespace podvisor
