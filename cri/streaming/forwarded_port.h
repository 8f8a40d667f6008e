#ifndef PODVISOR_CRI_STREAMING_FORWARDED_PORT_H_
#define PODVISOR_CRI_STREAMING_FORWARDED_PORT_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cri/streaming/byte_stream.h"
#include "cri/streaming/input_queue.h"
#include "guestagent/client/guest_streams.h"

namespace podvisor {

// Forwards one connection to a port, until it is over.
using PortDialer = std::function<absl::Status(uint16_t port, StreamPeer* peer)>;

// How a client says that it sends nothing more: by itself, or, where its
// protocol has no word for it, by the guest's end of data, as the reference
// server takes it.
enum class ClientEnd { kSaid, kWithTheGuests };

// One connection to a port of a guest, dialled on a thread of its own, between
// its client and the guest. Thread-safe.
class ForwardedPort {
 public:
  // `output` is what the guest says, empty at its end; `end` is called once,
  // with how it ended, by the same thread. Borrows `dial`.
  ForwardedPort(uint16_t port, const PortDialer& dial, ClientEnd client_end,
                InputQueue::Output output,
                std::function<void(const absl::Status&)> end);
  // Hangs up, and waits for the thread: whoever writes to the client must be
  // woken before.
  ~ForwardedPort();

  ForwardedPort(const ForwardedPort&) = delete;
  ForwardedPort& operator=(const ForwardedPort&) = delete;

  // Passes on what the client sent; by the thread that reads the client, on
  // which other connections wait meanwhile. False when nothing was taken for a
  // minute: it is hung up on. Errors of ByteStream::CheckReading().
  absl::StatusOr<bool> Push(const StreamPeer::Input& input,
                            const ByteStream& bytes);

  void HangUp() { queue_.HangUp(); }
  bool is_done() const { return done_; }

 private:
  void EndInput();

  InputQueue queue_;
  std::atomic<bool> done_{false};
  std::thread thread_;
};

}  // namespace podvisor

#endif  // PODVISOR_CRI_STREAMING_FORWARDED_PORT_H_
