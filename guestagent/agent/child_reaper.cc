#include "guestagent/agent/child_reaper.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"

namespace podvisor {
namespace {

// How many exits one window may remember: more than any runtime leaves behind.
constexpr size_t kMaxUnclaimed = 4096;

bool ProcessExists(pid_t pid) { return kill(pid, 0) == 0 || errno == EPERM; }

}  // namespace

ChildReaper::AdoptionWindow::AdoptionWindow(ChildReaper* reaper)
    : reaper_(reaper) {
  absl::MutexLock lock(&reaper_->mutex_);
  ++reaper_->open_windows_;
}

ChildReaper::AdoptionWindow::~AdoptionWindow() {
  absl::MutexLock lock(&reaper_->mutex_);
  if (--reaper_->open_windows_ == 0) reaper_->unclaimed_.clear();
}

absl::Status ChildReaper::Adopt(pid_t pid, ExitCallback on_exit) {
  if (pid <= 1) return absl::InvalidArgumentError("not a process to adopt");
  int wait_status = 0;
  {
    absl::MutexLock lock(&mutex_);
    if (adopted_.contains(pid)) {
      return absl::AlreadyExistsError(
          absl::StrCat("process ", pid, " is adopted already"));
    }
    const auto exited = unclaimed_.find(pid);
    if (exited == unclaimed_.end()) {
      // A zombie exists too, and is reaped under this lock.
      if (!ProcessExists(pid)) {
        return absl::NotFoundError(absl::StrCat("no process ", pid));
      }
      adopted_.emplace(pid, std::move(on_exit));
      return absl::OkStatus();
    }
    wait_status = exited->second;
    unclaimed_.erase(exited);
  }
  on_exit(wait_status);
  return absl::OkStatus();
}

absl::StatusOr<int> ChildReaper::Await(pid_t pid, Deadline deadline) {
  struct Exit {
    absl::Mutex mutex;
    bool known ABSL_GUARDED_BY(mutex) = false;
    int wait_status ABSL_GUARDED_BY(mutex) = 0;
  };
  const auto exit = std::make_shared<Exit>();
  const absl::Status adopted = Adopt(pid, [exit](int wait_status) {
    absl::MutexLock lock(&exit->mutex);
    exit->wait_status = wait_status;
    exit->known = true;
  });
  if (!adopted.ok()) return adopted;
  absl::MutexLock lock(&exit->mutex);
  if (!AwaitUntil(&exit->mutex, absl::Condition(&exit->known), deadline)) {
    return absl::DeadlineExceededError(
        absl::StrCat("process ", pid, " is still running"));
  }
  return exit->wait_status;
}

int ChildReaper::ReapOnce() {
  int reaped = 0;
  while (true) {
    int wait_status = 0;
    ExitCallback on_exit;
    {
      // Held across waitpid: Adopt() sees a process either as a zombie that
      // is not reaped yet, or as an exit that is recorded.
      absl::MutexLock lock(&mutex_);
      pid_t pid;
      do {
        pid = waitpid(-1, &wait_status, WNOHANG | __WNOTHREAD);
      } while (pid < 0 && errno == EINTR);
      if (pid <= 0) return reaped;
      ++reaped;
      const auto adopted = adopted_.find(pid);
      if (adopted != adopted_.end()) {
        on_exit = std::move(adopted->second);
        adopted_.erase(adopted);
      } else if (open_windows_ > 0 && unclaimed_.size() < kMaxUnclaimed) {
        // The newest process with this number is the one that is meant.
        unclaimed_[pid] = wait_status;
      }
    }
    if (on_exit) on_exit(wait_status);
  }
}

void ChildReaper::Run() {
  while (true) {
    // Waits without reaping, and so without the lock.
    siginfo_t info = {};
    if (waitid(P_ALL, 0, &info, WEXITED | WNOWAIT | __WNOTHREAD) != 0) {
      // No child at all, or a signal: neither may make this loop spin.
      const timespec pause = {0, 50'000'000};
      nanosleep(&pause, nullptr);
    }
    ReapOnce();
  }
}

}  // namespace podvisor
