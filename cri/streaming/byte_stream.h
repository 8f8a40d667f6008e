#ifndef PODVISOR_CRI_STREAMING_BYTE_STREAM_H_
#define PODVISOR_CRI_STREAMING_BYTE_STREAM_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/unique_fd.h"
#include "cri/streaming/byte_channel.h"

namespace podvisor {

// One client's TCP connection, read by one thread and written by one at a time.
// Reading and writing wait for the client, but not longer than `idle` without a
// byte in either direction.
//
// Thread-safe as far as said above; the rest may be called from any thread.
class ByteStream final : public ByteChannel {
 public:
  // Borrows the clock.
  ByteStream(UniqueFd socket, absl::Duration idle, Clock* clock);

  ByteStream(const ByteStream&) = delete;
  ByteStream& operator=(const ByteStream&) = delete;

  absl::Time Now() const { return clock_->Now(); }

  // ByteChannel. Cancelled: after StopReading() or Cancel().
  absl::StatusOr<size_t> Read(char* into, size_t size,
                              absl::Time deadline) override;
  absl::Status Write(absl::string_view bytes) override;

  // Whether a few bytes could be written now without waiting for the client.
  bool CanWrite() const;

  // Ends reading, at once and for good.
  void StopReading();
  // Ends reading and writing.
  void Cancel();
  // For a reader that does not read now. OK: reading would go on or wait.
  // Cancelled, DeadlineExceeded: as Read(). Unavailable: the client has closed
  // the connection, or it broke; what it sent before may wait to be read.
  absl::Status CheckReading() const;

  // Drops what the client sends until `done`, for at most so long: an end that
  // others still have to tell would be lost by a reset, too. Only by the
  // reading thread.
  void DropInput(absl::Duration at_most, absl::FunctionRef<bool()> done);

  // Says that nothing follows and waits until the client closes too, so that
  // bytes which it has yet to read are not lost by a reset. Only by the reading
  // thread, after StopReading().
  void Linger(absl::Duration at_most);

 private:
  // Waits for `events`; OK when they, or an error, can be had.
  absl::Status Wait(short events, int wake_fd, absl::Time deadline) const;
  void NoteActivity();

  const UniqueFd socket_;
  const absl::Duration idle_;
  Clock* const clock_;
  const UniqueFd stop_reading_;  // eventfds; readable once it is over
  const UniqueFd cancel_;
  std::atomic<int64_t> last_activity_nanos_;
};

}  // namespace podvisor

#endif  // PODVISOR_CRI_STREAMING_BYTE_STREAM_H_
