#ifndef PODVISOR_GUESTAGENT_AGENT_PEER_READER_H_
#define PODVISOR_GUESTAGENT_AGENT_PEER_READER_H_

#include <functional>
#include <thread>
#include <utility>

#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "base/deadline.h"
#include "grpcpp/server_context.h"

namespace podvisor {

// What a peer says in a call with streams both ways is read by a thread of its
// own, beside the call's, which writes. Not thread-safe.
class PeerReader {
 public:
  // `read` returns when the peer has closed its side or the call is cancelled.
  // Borrows the context.
  PeerReader(grpc::ServerContext* context, std::function<void()> read)
      : context_(context), thread_([this, read = std::move(read)] {
          read();
          done_.Notify();
        }) {}
  PeerReader(const PeerReader&) = delete;
  PeerReader& operator=(const PeerReader&) = delete;
  ~PeerReader() { End(/*heard=*/false); }

  // Waits for the end of `read`. A peer that has heard the last word of the
  // call has 10 s to close its side; then, and otherwise at once, the call is
  // cancelled to free its threads.
  void End(bool heard) {
    if (!thread_.joinable()) return;
    if (!heard || !AwaitUntil(done_, Deadline::After(absl::Seconds(10)))) {
      context_->TryCancel();
    }
    thread_.join();
  }

 private:
  grpc::ServerContext* const context_;
  absl::Notification done_;
  std::thread thread_;
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_PEER_READER_H_
