#include "guestagent/agent/output_pump.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdlib>
#include <utility>

#include "base/errno_status.h"

namespace podvisor {
namespace {

constexpr uint64_t kStop = 0;

}  // namespace

OutputPump::OutputPump()
    : epoll_(epoll_create1(EPOLL_CLOEXEC)),
      stop_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  epoll_event event = {};
  event.events = EPOLLIN;
  event.data.u64 = kStop;
  // Only at the agent's start, when descriptors cannot have run out.
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, stop_.get(), &event) != 0) {
    std::abort();
  }
  thread_ = std::thread([this] { Run(); });
}

OutputPump::~OutputPump() {
  eventfd_write(stop_.get(), 1);
  thread_.join();
}

absl::StatusOr<uint64_t> OutputPump::Add(int fd,
                                         std::function<void()> on_readable) {
  uint64_t watch = 0;
  {
    absl::MutexLock lock(&mutex_);
    watch = ++last_watch_;
    callbacks_[watch] =
        std::make_shared<std::function<void()>>(std::move(on_readable));
  }
  epoll_event event = {};
  event.events = EPOLLIN | EPOLLONESHOT;
  event.data.u64 = watch;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    const int error = errno;
    absl::MutexLock lock(&mutex_);
    callbacks_.erase(watch);
    return ErrnoStatus(error, "watch an output pipe");
  }
  return watch;
}

void OutputPump::Rearm(uint64_t watch, int fd) {
  epoll_event event = {};
  event.events = EPOLLIN | EPOLLONESHOT;
  event.data.u64 = watch;
  epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
}

void OutputPump::Remove(uint64_t watch, int fd) {
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  std::shared_ptr<std::function<void()>> dropped;
  absl::MutexLock lock(&mutex_);
  const auto found = callbacks_.find(watch);
  if (found == callbacks_.end()) return;
  // Destroyed after the lock is gone: it may own what calls us.
  dropped = std::move(found->second);
  callbacks_.erase(found);
}

void OutputPump::Run() {
  for (;;) {
    epoll_event events[16];
    const int count = epoll_wait(epoll_.get(), events, 16, -1);
    if (count < 0 && errno != EINTR) std::abort();
    for (int i = 0; i < count; ++i) {
      // epoll_event is packed: its members cannot be bound to references.
      const uint64_t watch = events[i].data.u64;
      if (watch == kStop) return;
      std::shared_ptr<std::function<void()>> callback;
      {
        absl::MutexLock lock(&mutex_);
        const auto found = callbacks_.find(watch);
        if (found != callbacks_.end()) callback = found->second;
      }
      if (callback != nullptr) (*callback)();
    }
  }
}

}  // namespace podvisor
