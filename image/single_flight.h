#ifndef PODVISOR_IMAGE_SINGLE_FLIGHT_H_
#define PODVISOR_IMAGE_SINGLE_FLIGHT_H_

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"

namespace podvisor {

// Makes callers that want the same thing at the same time share one effort: the
// first one works in its own thread, the others wait for its result.
//
// The effort is cancelled when nobody wants it any more, not when the first
// caller leaves. Thread-safe.
class SingleFlight {
 public:
  using Cancelled = std::function<bool()>;
  using Work = std::function<absl::StatusOr<std::string>(const Cancelled&)>;

  // `cancelled` may be empty; it is asked several times a second. `work` gets a
  // function that returns true when it should stop, and is called without a
  // lock. Errors: those of `work`; Cancelled.
  absl::StatusOr<std::string> Run(const std::string& key,
                                  const Cancelled& cancelled, const Work& work);

  // How many callers wait for another one's effort. For tests.
  int waiting() const;

 private:
  struct Flight {
    int wanted_by = 1;
    bool abandoned = false;
    bool done = false;
    absl::StatusOr<std::string> result;
  };

  absl::StatusOr<std::string> Wait(Flight& flight, const Cancelled& cancelled)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<std::string> Lead(const std::string& key,
                                   const std::shared_ptr<Flight>& flight,
                                   const Cancelled& cancelled, const Work& work)
      ABSL_LOCKS_EXCLUDED(mutex_);

  mutable absl::Mutex mutex_;
  std::map<std::string, std::shared_ptr<Flight>> flights_
      ABSL_GUARDED_BY(mutex_);
  int waiting_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace podvisor

#endif  // PODVISOR_IMAGE_SINGLE_FLIGHT_H_
