#include "sandbox/parts/stored_pod.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace podvisor {
namespace {

absl::string_view Name(SandboxState state) {
  switch (state) {
    case SandboxState::kCreating:
      return "being created";
    case SandboxState::kReady:
      return "ready";
    case SandboxState::kStopping:
      return "being stopped";
    case SandboxState::kStopped:
      return "stopped";
  }
  return "unknown";
}

}  // namespace

StoredPod::StoredPod(StateStore* store, PodRecord record)
    : store_(store),
      id_(record.id),
      spec_(record.spec),
      record_(std::move(record)) {}

PodRecord StoredPod::record() const {
  absl::MutexLock lock(&mutex_);
  return record_;
}

SandboxState StoredPod::state() const {
  absl::MutexLock lock(&mutex_);
  return record_.state;
}

absl::Status StoredPod::IllegalNow() const {
  return absl::FailedPreconditionError(
      absl::StrCat("pod ", id_.value(), " is ", Name(record_.state)));
}

absl::Status StoredPod::CheckReady() const {
  absl::MutexLock lock(&mutex_);
  if (record_.state != SandboxState::kReady) return IllegalNow();
  return absl::OkStatus();
}

absl::Status StoredPod::Transition(SandboxEvent event, const Edit& change) {
  absl::MutexLock lock(&mutex_);
  const std::optional<SandboxState> next = NextState(record_.state, event);
  if (!next.has_value()) return IllegalNow();
  PodRecord changed = record_;
  changed.state = *next;
  change(changed);
  const absl::Status stored = PutLocked(changed);
  if (!stored.ok()) {
    // Only what a pod takes hold of has to be known to the next daemon. One
    // that reads the older record of a VM that ended, or is to end, sees it and
    // ends what is left.
    if (event == SandboxEvent::kAgentReady) return stored;
    Log(LogLevel::kError, "the state of a pod cannot be stored",
        {{"sandbox_id", id_.value()}, {"error", stored.message()}});
  }
  record_ = std::move(changed);
  return absl::OkStatus();
}

absl::Status StoredPod::Change(const Edit& change) {
  absl::MutexLock lock(&mutex_);
  PodRecord changed = record_;
  change(changed);
  RETURN_IF_ERROR(PutLocked(changed));
  record_ = std::move(changed);
  return absl::OkStatus();
}

absl::Status StoredPod::Forget() {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(store_->DeletePod(id_));
  forgotten_ = true;
  return absl::OkStatus();
}

absl::Status StoredPod::PutLocked(const PodRecord& record) {
  if (forgotten_) {
    return absl::FailedPreconditionError(
        absl::StrCat("pod ", id_.value(), " is removed"));
  }
  return store_->PutPod(record);
}

}  // namespace podvisor
