#ifndef PODVISOR_GUESTAGENT_AGENT_VIRTIO_PORT_H_
#define PODVISOR_GUESTAGENT_AGENT_VIRTIO_PORT_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"

namespace podvisor {

// A virtio-serial port, found by the name that the host gave it. For one
// thread at a time.
class VirtioPort {
 public:
  explicit VirtioPort(std::string name) : name_(std::move(name)) {}
  VirtioPort(const VirtioPort&) = delete;
  VirtioPort& operator=(const VirtioPort&) = delete;

  // Waits until the port exists and opens it, non-blocking. DeadlineExceeded.
  absl::StatusOr<UniqueFd> Open(absl::Duration timeout);

  // Takes the port's device away from its driver and gives it back: fresh
  // queues. The descriptor of Open() has to be closed before. Resets every
  // port of the device.
  absl::Status Rebind();

 private:
  const std::string name_;
  std::string device_;  // "virtio3", known after Open().
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_VIRTIO_PORT_H_
