// How a pod that an earlier daemon left comes back: Pod::Recover().
//
// Two steps: the VM is taken over by what the host and QEMU know; then its
// guest is asked, now or, where it does not answer, again and again.

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clean_text.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "sandbox/parts/guest_recovery.h"
#include "sandbox/pod/pod.h"
#include "sandbox/record/vm_record_json.h"

namespace podvisor {
namespace {

// How long the start of the daemon waits for a guest. One that is well answers
// in milliseconds; the others are not waited for, they are asked again.
constexpr absl::Duration kFirstMeeting = absl::Seconds(5);
constexpr absl::Duration kLaterMeeting = absl::Seconds(2);
constexpr absl::Duration kLeastBackoff = absl::Milliseconds(500);
constexpr absl::Duration kMostBackoff = absl::Seconds(30);

}  // namespace

bool Pod::Recover(absl::Time deadline) {
  // Nobody else knows of the pod yet, and so the lock is free.
  if (!operation_lock_.LockUntil(deadline)) return true;
  const OperationHolder operation(&operation_lock_);
  const SandboxState found = state();
  if (found == SandboxState::kStopped) return true;
  absl::Status adopted = absl::FailedPreconditionError("it was not ready");
  if (found == SandboxState::kReady) adopted = AdoptVm(deadline);
  if (adopted.ok()) {
    // Until the guest tells what there is.
    if (const auto target = wanted_.Target(guest_.vm()->sizer().limits());
        target.ok()) {
      accounting_.Accept(wanted_.Totals(), target->size);
    }
    MeetGuest(kLeastBackoff,
              std::min(deadline, services_.vm.clock->Now() + kFirstMeeting));
    return true;
  }
  EndLost(found, adopted, deadline);
  return found != SandboxState::kCreating || state() != SandboxState::kStopped;
}

void Pod::EndLost(SandboxState found, const absl::Status& reason,
                  absl::Time deadline) {
  Log(LogLevel::kWarning, "a pod did not survive until this start",
      {{"sandbox_id", id().value()}, {"reason", reason.message()}});
  // One that was being stopped ends as it would have.
  if (found != SandboxState::kStopping) {
    const SandboxEvent event = found == SandboxState::kCreating
                                   ? SandboxEvent::kSetupFailed
                                   : SandboxEvent::kVmExited;
    (void)stored_.Transition(event, [&](PodRecord& record) {
      record.reason = "VmLost";
      record.message = CleanText(
          absl::StrCat("the VM was not there when the daemon started: ",
                       reason.message()),
          1024);
    });
    ends_.RecordAll(kUnknownExitCode, "Unknown",
                    "the pod's VM was gone when the daemon started");
  }
  const absl::Status torn_down = TearDown(deadline);
  if (!torn_down.ok()) {
    Log(LogLevel::kError, "what a lost pod left behind is still there",
        {{"sandbox_id", id().value()}, {"error", torn_down.message()}});
  }
}

absl::Status Pod::AdoptVm(absl::Time deadline) {
  ASSIGN_OR_RETURN(const VmRecord record,
                   DecodeVmRecord(stored_.record().vm_json));
  ASSIGN_OR_RETURN(
      std::unique_ptr<PodVm> vm,
      PodVm::Adopt(services_.vm, id(), spec(), record, Recorder(), deadline));
  guest_.SetVm(std::move(vm), absl::UnavailableError("it was not asked yet"));
  for (const auto& container : containers_.All()) AdoptImages(*container);
  WatchVm();
  network_.Check(deadline);
  return absl::OkStatus();
}

void Pod::AdoptImages(const Container& container) {
  for (const std::string& image : container.image_hexes()) {
    absl::StatusOr<ImageRootFs> root_fs = services_.images->RootFs(image);
    if (!root_fs.ok()) {
      Log(LogLevel::kWarning, "an image of a container is gone",
          {{"container_id", container.id().value()},
           {"error", root_fs.status().message()}});
      // Its disk is not: it is detached after its last user, as any other.
      root_fs.emplace().image_hex = image;
    }
    guest_.vm()->AdoptImageUser(*std::move(root_fs), container.id());
  }
}

void Pod::MeetGuest(absl::Duration backoff, absl::Time deadline) {
  const absl::Status met = RecoverGuest({.clock = services_.vm.clock,
                                         .pod = &stored_,
                                         .containers = &containers_,
                                         .guest = &guest_,
                                         .output = &output_,
                                         .wanted = &wanted_,
                                         .accounting = &accounting_},
                                        deadline);
  if (met.ok()) {
    // Of an earlier daemon; from here on there may be new ones.
    eraser_.AbandonCreating();
    wanted_.HoldEnded();
  }
  guest_.SetAnswers(met);
  if (met.ok()) {
    ends_.Watch();
    settle_.After(absl::ZeroDuration());
    sampler_.Begin(absl::ZeroDuration());
    return;
  }
  Log(LogLevel::kWarning,
      "the guest of a pod does not answer; it runs on and is asked again",
      {{"sandbox_id", id().value()},
       {"after", absl::FormatDuration(backoff)},
       {"error", met.message()}});
  MeetGuestAfter(backoff);
}

void Pod::MeetGuestAfter(absl::Duration delay) {
  timers_.After(delay, [this, delay] {
    if (state() != SandboxState::kReady) return;
    if (!operation_lock_.LockUntil(absl::InfinitePast())) {
      MeetGuestAfter(delay);
      return;
    }
    const OperationHolder operation(&operation_lock_);
    MeetGuest(std::min(2 * delay, kMostBackoff),
              services_.vm.clock->Now() + kLaterMeeting);
  });
}

}  // namespace podvisor
