#include "sandbox/parts/pod_guest.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace podvisor {

void PodGuest::SetVm(std::unique_ptr<PodVm> vm, absl::Status answers) {
  absl::MutexLock lock(&mutex_);
  vm_ = std::move(vm);
  answers_ = std::move(answers);
}

void PodGuest::SetAnswers(absl::Status answers) {
  absl::MutexLock lock(&mutex_);
  answers_ = std::move(answers);
}

void PodGuest::SetHello(agent::v1::HelloResponse hello) {
  absl::MutexLock lock(&mutex_);
  hello_ = std::move(hello);
}

PodVm* PodGuest::vm() const {
  absl::MutexLock lock(&mutex_);
  return vm_.get();
}

agent::v1::HelloResponse PodGuest::hello() const {
  absl::MutexLock lock(&mutex_);
  return hello_;
}

absl::Status PodGuest::CheckAnswers() const {
  absl::MutexLock lock(&mutex_);
  if (answers_.ok()) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(
      "the guest of pod ", pod_->id().value(),
      " has not answered since the daemon started: ", answers_.message()));
}

absl::Status PodGuest::CheckReady() const {
  RETURN_IF_ERROR(pod_->CheckReady());
  return CheckAnswers();
}

absl::StatusOr<PodVm*> PodGuest::ReadyVm() const {
  RETURN_IF_ERROR(CheckReady());
  return vm();
}

absl::StatusOr<GuestAgent*> PodGuest::ReadyAgent() const {
  RETURN_IF_ERROR(CheckReady());
  return &vm()->vm().agent();
}

}  // namespace podvisor
