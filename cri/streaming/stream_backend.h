#ifndef PODVISOR_CRI_STREAMING_STREAM_BACKEND_H_
#define PODVISOR_CRI_STREAMING_STREAM_BACKEND_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "cri/streaming/stream_request.h"
#include "guestagent/client/guest_streams.h"

namespace podvisor {

// What the streaming server wants of the pods. Every call blocks its thread
// until the stream is over. Thread-safe.
class StreamBackend {
 public:
  virtual ~StreamBackend() = default;

  // As GuestStreams::Exec(); besides NotFound and FailedPrecondition for a
  // container that has gone since the URL was given out.
  virtual absl::StatusOr<int> Exec(const ExecStreamRequest& request,
                                   StreamPeer* peer) = 0;
  // As GuestStreams::Attach() and PortForward(), with the same two errors.
  virtual absl::StatusOr<int> Attach(const AttachStreamRequest& request,
                                     StreamPeer* peer) = 0;
  virtual absl::Status PortForward(const PodId& pod, uint16_t port,
                                   StreamPeer* peer) = 0;
};

}  // namespace podvisor

#endif  // PODVISOR_CRI_STREAMING_STREAM_BACKEND_H_
