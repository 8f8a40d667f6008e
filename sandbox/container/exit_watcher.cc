#include "sandbox/container/exit_watcher.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace podvisor {

ExitWatcher::ExitWatcher(GuestAgent* agent, Callback on_exit, Clock* clock,
                         const ExitWatcherOptions& options)
    : agent_(agent),
      on_exit_(std::move(on_exit)),
      clock_(clock),
      options_(options) {}

ExitWatcher::~ExitWatcher() {
  {
    absl::MutexLock lock(&mutex_);
    stop_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

void ExitWatcher::Start() {
  thread_ = std::thread([this] { Run(); });
}

void ExitWatcher::Run() {
  absl::Duration delay = options_.first_retry;
  for (;;) {
    const absl::Duration begin = clock_->Elapsed();
    const absl::Status ended = agent_->WatchExits(on_exit_);
    if (absl::IsCancelled(ended)) return;  // our own Disconnect()
    // Not what was heard counts: a new watch begins with exits told before.
    if (clock_->Elapsed() - begin > options_.last_retry) {
      delay = options_.first_retry;
    }
    Log(LogLevel::kDebug, "the watch of a guest's exits broke",
        {{"after", absl::FormatDuration(clock_->Elapsed() - begin)},
         {"reason", ended.message()}});
    if (!Pause(delay)) return;
    delay = std::min(2 * delay, options_.last_retry);
  }
}

bool ExitWatcher::Pause(absl::Duration delay) {
  absl::MutexLock lock(&mutex_);
  return !mutex_.AwaitWithTimeout(absl::Condition(&stop_), delay);
}

}  // namespace podvisor
