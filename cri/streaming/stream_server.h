#ifndef PODVISOR_CRI_STREAMING_STREAM_SERVER_H_
#define PODVISOR_CRI_STREAMING_STREAM_SERVER_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "cri/streaming/stream_backend.h"
#include "cri/streaming/stream_request.h"

namespace podvisor {

struct StreamServerOptions {
  std::string address = "127.0.0.1:0";  // "[::1]:0"; port 0: any
  size_t max_connections = 256;         // further ones are closed at once
  absl::Duration request = absl::Seconds(10);   // for the HTTP request
  absl::Duration creation = absl::Seconds(30);  // for the streams
  absl::Duration idle = absl::Hours(4);  // without a byte in either direction
};

// The server to which the URLs of Exec, Attach and PortForward lead. It speaks
// HTTP/1.1 with an upgrade to SPDY/3.1 or a WebSocket.
//
// One thread accepts; each connection has a thread of its own and one more for
// each direction of what it streams. Every client is untrusted until its token
// is redeemed: sizes, times and connections are bounded. What a client has
// asked for waits, in bounded memory, while the client or the guest is slow.
//
// The destructor hangs up on all clients and waits until their threads are
// gone. Thread-safe.
class StreamServer {
 public:
  virtual ~StreamServer() = default;

  // "127.0.0.1:40123", with the port that was bound.
  virtual std::string address() const = 0;

  // An absolute URL that is good for one connection within a minute.
  // ResourceExhausted: too many URLs wait for their clients.
  virtual absl::StatusOr<std::string> UrlFor(StreamRequest request) = 0;

  // Borrows. InvalidArgument: no address; Unavailable: cannot be bound.
  static absl::StatusOr<std::unique_ptr<StreamServer>> Start(
      const StreamServerOptions& options, StreamBackend* backend, Clock* clock);

 protected:
  StreamServer() = default;
};

}  // namespace podvisor

#endif  // PODVISOR_CRI_STREAMING_STREAM_SERVER_H_
