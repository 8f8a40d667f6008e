#include "sandbox/vm/process_watcher.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/errno_status.h"
#include "base/log.h"

namespace podvisor {
namespace {

constexpr uint64_t kStopNumber = 0;

absl::Status Poll(int epoll, int fd, uint64_t number) {
  epoll_event event = {};
  event.events = EPOLLIN | EPOLLONESHOT;
  event.data.u64 = number;
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
    return ErrnoStatus(errno, "epoll_ctl");
  }
  return absl::OkStatus();
}

// A descriptor that becomes readable at the end of exactly this process. One
// that is readable at once when the process is gone already.
absl::StatusOr<UniqueFd> OpenProcess(const ProcessIdentity& process) {
  UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, process.pid, 0)));
  if (!pidfd.valid() && errno != ESRCH) {
    return ErrnoStatus(errno, absl::StrCat("pidfd_open ", process.pid));
  }
  // The pid may be another process by now. A zombie is still itself.
  const absl::StatusOr<ProcessIdentity> now = IdentifyProcess(process.pid);
  if (pidfd.valid() && now.ok() && *now == process) return pidfd;
  UniqueFd gone(eventfd(1, EFD_CLOEXEC));
  if (!gone.valid()) return ErrnoStatus(errno, "eventfd");
  return gone;
}

}  // namespace

ProcessWatcher::ProcessWatcher(UniqueFd epoll, UniqueFd stop)
    : epoll_(std::move(epoll)), stop_(std::move(stop)) {}

absl::StatusOr<std::unique_ptr<ProcessWatcher>> ProcessWatcher::Create() {
  UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return ErrnoStatus(errno, "epoll_create1");
  UniqueFd stop(eventfd(0, EFD_CLOEXEC));
  if (!stop.valid()) return ErrnoStatus(errno, "eventfd");
  const absl::Status polled = Poll(epoll.get(), stop.get(), kStopNumber);
  if (!polled.ok()) return polled;
  std::unique_ptr<ProcessWatcher> watcher(
      new ProcessWatcher(std::move(epoll), std::move(stop)));
  watcher->thread_ = std::thread([w = watcher.get()] { w->Loop(); });
  return watcher;
}

ProcessWatcher::~ProcessWatcher() { Stop(); }

void ProcessWatcher::Stop() {
  if (!thread_.joinable()) return;
  eventfd_write(stop_.get(), 1);
  thread_.join();
}

absl::StatusOr<uint64_t> ProcessWatcher::Watch(const ProcessIdentity& process,
                                               Callback callback) {
  absl::StatusOr<UniqueFd> pidfd = OpenProcess(process);
  if (!pidfd.ok()) return pidfd.status();
  const int fd = pidfd->get();
  absl::MutexLock lock(&mutex_);
  const uint64_t number = next_++;
  entries_[number] = {process, *std::move(pidfd), std::move(callback)};
  const absl::Status polled = Poll(epoll_.get(), fd, number);
  if (!polled.ok()) {
    entries_.erase(number);
    return polled;
  }
  return number;
}

void ProcessWatcher::Unwatch(uint64_t number) {
  absl::MutexLock lock(&mutex_);
  entries_.erase(number);
  if (std::this_thread::get_id() == thread_.get_id()) return;
  const auto idle = [this, number]() {
    mutex_.AssertReaderHeld();
    return running_ != number;
  };
  mutex_.Await(absl::Condition(&idle));
}

void ProcessWatcher::Loop() {
  for (;;) {
    epoll_event event = {};
    const int count = epoll_wait(epoll_.get(), &event, 1, -1);
    if (count < 0 && errno != EINTR) {
      Log(LogLevel::kError, "the process watcher ended",
          {{"error", ErrnoStatus(errno, "epoll_wait").message()}});
      return;
    }
    if (count != 1) continue;
    if (event.data.u64 == kStopNumber) return;
    Finish(event.data.u64);
  }
}

void ProcessWatcher::Finish(uint64_t number) {
  Entry entry;
  {
    absl::MutexLock lock(&mutex_);
    const auto found = entries_.find(number);
    if (found == entries_.end()) return;
    entry = std::move(found->second);
    entries_.erase(found);
    running_ = number;
  }
  entry.callback(WaitProcess(entry.process, absl::InfinitePast()).value_or(0));
  // What the callback holds goes before anybody is told that it is over.
  entry.callback = nullptr;
  absl::MutexLock lock(&mutex_);
  running_.reset();
}

}  // namespace podvisor
