#ifndef PODVISOR_SANDBOX_VM_PROCESS_WATCHER_H_
#define PODVISOR_SANDBOX_VM_PROCESS_WATCHER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/process.h"
#include "base/unique_fd.h"

namespace podvisor {

// Tells when processes end: one thread for all of them, whether they are our
// children or were started by an earlier daemon. Children are reaped.
//
// Thread-safe.
class ProcessWatcher {
 public:
  // The wait status, see waitpid(2); 0 also when the process was not our child
  // or someone else reaped it.
  using Callback = std::function<void(int wait_status)>;

  static absl::StatusOr<std::unique_ptr<ProcessWatcher>> Create();
  ~ProcessWatcher();

  ProcessWatcher(const ProcessWatcher&) = delete;
  ProcessWatcher& operator=(const ProcessWatcher&) = delete;

  // Calls `callback` once, from the watcher's thread and with no lock held,
  // when the process is gone; soon, if it is gone already. Callbacks are called
  // one after the other: they must be quick. Returns a number for Unwatch().
  absl::StatusOr<uint64_t> Watch(const ProcessIdentity& process,
                                 Callback callback);

  // Once this has returned, the callback neither runs nor will run, except when
  // it is itself the caller. OK for a number that is unknown or done.
  void Unwatch(uint64_t number);

  // No callback is running or will run once this has returned; nor is one told
  // of what ends later. For the end of a daemon: callbacks use what goes before
  // the watcher does. Not to be called by a callback.
  void Stop();

 private:
  struct Entry {
    ProcessIdentity process;
    UniqueFd pidfd;
    Callback callback;
  };

  ProcessWatcher(UniqueFd epoll, UniqueFd stop);

  void Loop();
  void Finish(uint64_t number) ABSL_LOCKS_EXCLUDED(mutex_);

  const UniqueFd epoll_;
  const UniqueFd stop_;  // an eventfd

  absl::Mutex mutex_;
  uint64_t next_ ABSL_GUARDED_BY(mutex_) = 1;  // 0 is stop_
  std::map<uint64_t, Entry> entries_ ABSL_GUARDED_BY(mutex_);
  std::optional<uint64_t> running_ ABSL_GUARDED_BY(mutex_);

  std::thread thread_;
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_VM_PROCESS_WATCHER_H_
