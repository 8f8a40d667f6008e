#ifndef PODVISOR_CRI_STREAMING_BYTE_CHANNEL_H_
#define PODVISOR_CRI_STREAMING_BYTE_CHANNEL_H_

#include <cstddef>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace podvisor {

// Bytes from a client and to it, whatever carries them; read by one thread and
// written by one at a time.
class ByteChannel {
 public:
  virtual ~ByteChannel() = default;

  // How many bytes were read, at least one. OutOfRange: the client has closed
  // its side. Cancelled: the server ends this. DeadlineExceeded: of the call,
  // or idle. Unavailable: the connection broke.
  virtual absl::StatusOr<size_t> Read(char* into, size_t size,
                                      absl::Time deadline) = 0;

  // Writes all of it, and waits while the client does not read; errors as
  // above.
  virtual absl::Status Write(absl::string_view bytes) = 0;
};

}  // namespace podvisor

#endif  // PODVISOR_CRI_STREAMING_BYTE_CHANNEL_H_
