#ifndef PODVISOR_GUESTAGENT_AGENT_CHILD_REAPER_H_
#define PODVISOR_GUESTAGENT_AGENT_CHILD_REAPER_H_

#include <sys/types.h>

#include <functional>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/deadline.h"

namespace podvisor {

// PID 1's duty: reaps every orphan of the guest, and tells the exit status of
// those that somebody adopted (the first process of a container becomes an
// orphan when the OCI runtime that made it exits).
//
// It never takes the status of a program that the agent started itself: Run()
// waits with __WNOTHREAD on the main thread, where the kernel puts orphans, so
// children of other threads are left to them. Hence the rule: a thread that
// spawns a program (base/process.h) waits for it before the thread ends.
//
// Thread-safe.
class ChildReaper {
 public:
  // Called once, with the wait status of waitpid(2) and without a lock held:
  // on the main thread, or on Adopt()'s when the process had already exited.
  // Must not block.
  using ExitCallback = std::function<void(int wait_status)>;

  // While one of these is alive, exits of orphans nobody adopted are
  // remembered. Open it before the program that leaves the orphan is started
  // and keep it until Adopt(): then an early exit is not lost.
  class AdoptionWindow {
   public:
    explicit AdoptionWindow(ChildReaper* reaper);
    ~AdoptionWindow();
    AdoptionWindow(const AdoptionWindow&) = delete;
    AdoptionWindow& operator=(const AdoptionWindow&) = delete;

   private:
    ChildReaper* const reaper_;
  };

  ChildReaper() = default;
  ChildReaper(const ChildReaper&) = delete;
  ChildReaper& operator=(const ChildReaper&) = delete;

  // From now on the exit of `pid` goes to `on_exit`. NotFound when there is
  // no such process and no window remembers its exit; AlreadyExists when it
  // has been adopted.
  absl::Status Adopt(pid_t pid, ExitCallback on_exit);

  // Adopts `pid` and waits for its exit status. DeadlineExceeded: the process
  // stays adopted and its status is dropped.
  absl::StatusOr<int> Await(pid_t pid, Deadline deadline);

  // Reaps for ever. For the main thread only, which needs at least one child
  // that lives as long as the guest (the pause process).
  [[noreturn]] void Run();

  // Reaps what has exited up to now. Returns how many. For the main thread.
  int ReapOnce();

 private:
  absl::Mutex mutex_;
  int open_windows_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::flat_hash_map<pid_t, ExitCallback> adopted_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<pid_t, int> unclaimed_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_AGENT_CHILD_REAPER_H_
