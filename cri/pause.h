#ifndef PODVISOR_CRI_PAUSE_H_
#define PODVISOR_CRI_PAUSE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace podvisor {

// Where a command rests that goes on until it is told to end. One thread.
class Pause {
 public:
  virtual ~Pause() = default;

  // True after `time`; false as soon as the command is to end.
  virtual bool For(absl::Duration time) = 0;
};

// To end is to get SIGINT or SIGTERM, or that nobody reads `output` any more.
// From here on those signals, and SIGPIPE, have no other effect. Call it before
// any thread is started. Errors: the kernel's.
absl::StatusOr<std::unique_ptr<Pause>> PauseUntilInterrupted(int output);

}  // namespace podvisor

#endif  // PODVISOR_CRI_PAUSE_H_
