#ifndef PODVISOR_BASE_STARTED_PROCESS_H_
#define PODVISOR_BASE_STARTED_PROCESS_H_

#include <string>

#include "base/clock.h"
#include "base/process.h"

namespace podvisor {

// A process that was just started, for as long as it is not sure that it is
// wanted: killed with its group, and reaped, unless it was kept.
//
// Not thread-safe.
class StartedProcess {
 public:
  // `name` is for the log. Borrows `clock`.
  StartedProcess(const ProcessIdentity& process, std::string name,
                 Clock* clock);
  StartedProcess(const StartedProcess&) = delete;
  StartedProcess& operator=(const StartedProcess&) = delete;
  // As End().
  ~StartedProcess();

  // From now on somebody else sees to its end.
  void Keep() { kept_ = true; }

  // Ends it now. Waits for ten seconds at most.
  void End();

 private:
  const ProcessIdentity process_;
  const std::string name_;
  Clock* const clock_;
  bool kept_ = false;
};

}  // namespace podvisor

#endif  // PODVISOR_BASE_STARTED_PROCESS_H_
