#ifndef PODVISOR_SANDBOX_CONTAINER_LOG_PUMP_H_
#define PODVISOR_SANDBOX_CONTAINER_LOG_PUMP_H_

#include <memory>
#include <thread>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/ids.h"
#include "guestagent/client/guest_streams.h"
#include "metrics/pod_metrics.h"
#include "sandbox/container/container_log.h"

namespace podvisor {

struct LogPumpOptions {
  absl::Duration first_retry = absl::Milliseconds(20);
  absl::Duration last_retry = absl::Seconds(1);  // doubles up to this
};

// Moves one container's output from its agent into its log, on a thread of its
// own, until both streams have ended.
//
// A broken connection is retried from the stored offsets, so that nothing is
// lost or doubled. The pump ends by itself when the streams have ended, when
// the agent does not know the container, when the agent breaks the protocol
// again and again (DataLoss), and on Cancelled (GuestAgent::Disconnect()).
//
// Thread-safe. `streams`, `clock` and `metrics` outlive the pump, and `streams`
// ends its calls before it is destroyed.
class LogPump {
 public:
  // `metrics` counts dropped lines; may be null.
  LogPump(const ContainerId& id, GuestStreams* streams,
          std::shared_ptr<ContainerLog> log, Clock* clock, PodMetrics* metrics,
          const LogPumpOptions& options = {});

  // As Stop(), waiting for at most five seconds.
  ~LogPump();

  LogPump(const LogPump&) = delete;
  LogPump& operator=(const LogPump&) = delete;

  // Once.
  void Start();

  // Waits until all output is in the log. OK then; DeadlineExceeded when it is
  // not; else why the pump has ended without it. StopContainer and the exit of
  // a container wait here, so that the last lines are there.
  absl::Status WaitDrained(absl::Time deadline);

  // Ends the pump and leaves the rest of the output to a later one. A stream
  // that sends nothing ends only with its connection: Disconnect() the agent or
  // delete the container first. DeadlineExceeded: the thread still sits in its
  // call; it is left alone there and touches nothing of ours afterwards.
  absl::Status Stop(absl::Time deadline);

  // As Stop(), for a container that is gone for good: writes the unfinished
  // line that was held back.
  absl::Status Abandon(absl::Time deadline);

  const std::shared_ptr<ContainerLog>& log() const;

 private:
  struct State;

  // Shared with the thread, which may outlive this after Stop()'s deadline.
  const std::shared_ptr<State> state_;
  std::jthread thread_;  // guarded by the state's mutex
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_CONTAINER_LOG_PUMP_H_
