#include "guestagent/agent/container_entry.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/errno_status.h"

namespace podvisor {
namespace {

// A walk costs the guest's own CPU time, and the sampler asks every few
// seconds.
constexpr absl::Duration kLayerInterval = absl::Seconds(10);
constexpr absl::Duration kLayerBudget = absl::Milliseconds(100);
constexpr uint64_t kLayerEntries = 20'000;

}  // namespace

ContainerEntry::View ContainerEntry::Look() const {
  absl::MutexLock lock(&mutex_);
  return view_;
}

void ContainerEntry::MarkCreated(View view, UniqueFd pidfd) {
  absl::MutexLock lock(&mutex_);
  view_ = std::move(view);
  view_.state = State::CREATED;
  pidfd_ = std::move(pidfd);
}

void ContainerEntry::MarkRunning() {
  absl::MutexLock lock(&mutex_);
  if (view_.state == State::CREATED) view_.state = State::RUNNING;
}

void ContainerEntry::MarkExited(const agent::v1::ContainerExit& exit) {
  absl::MutexLock lock(&mutex_);
  view_.state = State::EXITED;
  view_.exit = exit;
}

void ContainerEntry::MarkGone() {
  absl::MutexLock lock(&mutex_);
  gone_ = true;
}

bool ContainerEntry::IsGone() const {
  absl::MutexLock lock(&mutex_);
  return gone_;
}

absl::Status ContainerEntry::SignalFirstProcess(int signal) const {
  absl::MutexLock lock(&mutex_);
  if (view_.state == State::EXITED || !pidfd_.valid()) return absl::OkStatus();
  if (syscall(SYS_pidfd_send_signal, pidfd_.get(), signal, nullptr, 0) == 0 ||
      errno == ESRCH) {
    return absl::OkStatus();
  }
  return ErrnoStatus(errno, "signal the container");
}

bool ContainerEntry::AwaitExit(Deadline deadline) const {
  absl::MutexLock lock(&mutex_);
  const auto has_exited = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return view_.state == State::EXITED || view_.pid == 0;
  };
  return AwaitUntil(&mutex_, absl::Condition(&has_exited), deadline);
}

LayerUsage ContainerEntry::MeasuredLayer() {
  std::string layer;
  {
    absl::MutexLock lock(&mutex_);
    if (!layer_fresh_until_.IsOver() || view_.scratch_dir.empty()) {
      return layer_usage_;
    }
    layer_fresh_until_ = Deadline::After(kLayerInterval);
    layer = view_.scratch_dir;
  }
  const LayerUsage usage =
      MeasureLayer(layer, kLayerEntries, Deadline::After(kLayerBudget));
  absl::MutexLock lock(&mutex_);
  layer_usage_ = usage;
  return usage;
}

}  // namespace podvisor
