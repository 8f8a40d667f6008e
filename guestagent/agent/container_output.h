#ifndef PODVISOR_GUESTAGENT_AGENT_CONTAINER_OUTPUT_H_
#define PODVISOR_GUESTAGENT_AGENT_CONTAINER_OUTPUT_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/unique_fd.h"
#include "guestagent/agent.pb.h"
#include "guestagent/agent/output_buffer.h"
#include "guestagent/agent/output_pump.h"
#include "guestagent/agent/output_tap.h"

namespace podvisor {

// The output of one container, from its pipes to whoever streams it: one
// session at a time, which the next one ends. Taps get a copy of what is read
// from the pipes; they neither hold it up nor move it on.
//
// Keeps at most kCapacity unacknowledged bytes of each stream and then leaves
// the pipe alone, so that its writer waits: nothing is ever dropped.
//
// Thread-safe. The pump outlives every object of this class.
class ContainerOutput : public std::enable_shared_from_this<ContainerOutput> {
 public:
  static constexpr size_t kCapacity = 256 << 10;
  static constexpr size_t kMaxChunkBytes = 64 << 10;

  // Takes the reading ends. Without `err` (a terminal) standard error ends at
  // once.
  static absl::StatusOr<std::shared_ptr<ContainerOutput>> Open(OutputPump* pump,
                                                               UniqueFd out,
                                                               UniqueFd err);

  // Begins a session at these offsets, which also acknowledges what is below
  // them. Calls the previous session's `cancel`. OutOfRange when the offsets
  // are not in what is kept, NotFound after Abandon().
  //
  // `cancel` wakes whoever is blocked for this session elsewhere; it is called
  // at most once and not after End(), and must not call back.
  absl::StatusOr<uint64_t> Begin(uint64_t stdout_offset, uint64_t stderr_offset,
                                 std::function<void()> cancel);

  // Blocks until the session has something to send. nullopt: both streams
  // have ended and were sent. Aborted: another session took over. Cancelled:
  // the session has ended. NotFound: the container was deleted.
  absl::StatusOr<std::optional<agent::v1::OutputChunk>> Next(uint64_t session);

  // Everything below is safe with the host. OutOfRange for more than was kept.
  absl::Status Acknowledge(uint64_t session, uint64_t stdout_offset,
                           uint64_t stderr_offset);

  // True once everything, with both ends, was sent and acknowledged.
  bool IsComplete() const;

  // The session's peer is gone, or done.
  void End(uint64_t session);

  // From now on until CloseTap(). ResourceExhausted when there are kMaxTaps,
  // NotFound after Abandon().
  static constexpr size_t kMaxTaps = 16;
  absl::StatusOr<std::shared_ptr<OutputTap>> OpenTap();
  void CloseTap(const std::shared_ptr<OutputTap>& tap);

  // Closes the pipes, drops what is kept and ends the session.
  void Abandon();

 private:
  struct Stream {
    UniqueFd fd;
    uint64_t watch = 0;
    OutputBuffer buffer{kCapacity};
    bool resting = false;  // not watched, for want of room
    uint64_t sent = 0;     // to the present session
    bool end_sent = false;
  };

  explicit ContainerOutput(OutputPump* pump) : pump_(pump) {}

  absl::Status Watch(int index, UniqueFd fd);
  void OnReadable(int index);
  void CloseStream(int index) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status AcknowledgeStream(int index, uint64_t offset)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool HasNews(uint64_t session) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void CancelSession() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  OutputPump* const pump_;
  mutable absl::Mutex mutex_;
  Stream streams_[2] ABSL_GUARDED_BY(mutex_);  // stdout, stderr
  int next_stream_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t last_session_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t session_ ABSL_GUARDED_BY(mutex_) = 0;  // 0: none
  std::function<void()> cancel_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::shared_ptr<OutputTap>> taps_ ABSL_GUARDED_BY(mutex_);
  bool abandoned_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_CONTAINER_OUTPUT_H_
