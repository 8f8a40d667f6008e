#ifndef PODVISOR_SANDBOX_CONTAINER_EXIT_WATCHER_H_
#define PODVISOR_SANDBOX_CONTAINER_EXIT_WATCHER_H_

#include <functional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "guestagent/agent.pb.h"
#include "guestagent/client/guest_agent.h"

namespace podvisor {

struct ExitWatcherOptions {
  absl::Duration first_retry = absl::Milliseconds(20);
  absl::Duration last_retry = absl::Seconds(1);  // doubles up to this
};

// Hears of the exits of one guest's containers, on a thread of its own, until
// the agent is disconnected or the watcher goes.
//
// A watch that breaks, for whatever reason, is begun anew after a pause: what a
// guest does can keep nobody busy. Exits that have been told come again then.
//
// Thread-safe. `agent` and `clock` outlive it.
class ExitWatcher {
 public:
  using Callback = std::function<void(const agent::v1::ContainerExit& exit)>;

  // `on_exit` is called on the watcher's thread.
  ExitWatcher(GuestAgent* agent, Callback on_exit, Clock* clock,
              const ExitWatcherOptions& options = {});
  // A watch that is under way ends only with its connection: Disconnect() the
  // agent first.
  ~ExitWatcher();

  ExitWatcher(const ExitWatcher&) = delete;
  ExitWatcher& operator=(const ExitWatcher&) = delete;

  // Once.
  void Start();

 private:
  void Run();
  // False when the watcher is to end.
  bool Pause(absl::Duration delay) ABSL_LOCKS_EXCLUDED(mutex_);

  GuestAgent* const agent_;
  const Callback on_exit_;
  Clock* const clock_;
  const ExitWatcherOptions options_;
  absl::Mutex mutex_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_CONTAINER_EXIT_WATCHER_H_
