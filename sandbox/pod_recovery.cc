// How a pod that an earlier daemon left comes back: Pod::Recover().
//
// Two steps: the VM is taken over by what the host and QEMU know; then its
// guest is asked, now or, where it does not answer, again and again.

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clean_text.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "sandbox/pod.h"
#include "sandbox/vm_record_json.h"

namespace podvisor {
namespace {

// A container that nobody saw ending. The code is the one that other runtimes
// give, so that nobody takes it for the container's own.
constexpr int kUnknownExitCode = 255;
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
  for (const auto& container : containers_.All()) AdoptImage(*container);
  WatchVm();
  network_.Check(deadline);
  return absl::OkStatus();
}

void Pod::AdoptImage(const Container& container) {
  absl::StatusOr<ImageRootFs> root_fs =
      services_.images->RootFs(container.image_hex());
  if (!root_fs.ok()) {
    Log(LogLevel::kWarning, "the image of a container is gone",
        {{"container_id", container.id().value()},
         {"error", root_fs.status().message()}});
    // Its disk is not: it is detached after its last user, as any other.
    root_fs.emplace().image_hex = container.image_hex();
  }
  guest_.vm()->AdoptImageUser(*std::move(root_fs), container.id());
}

void Pod::MeetGuest(absl::Duration backoff, absl::Time deadline) {
  const absl::Status met = RecoverGuest(deadline);
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

absl::Status Pod::RecoverGuest(absl::Time deadline) {
  GuestAgent& agent = guest_.vm()->vm().agent();
  ASSIGN_OR_RETURN(agent::v1::HelloResponse hello, agent.Hello(deadline));
  RETURN_IF_ERROR(guest_.vm()->sizer().Observe(deadline));
  // What it has, not what it is to have: a growth is guarded.
  const VmLimits& limits = guest_.vm()->sizer().limits();
  accounting_.Accept(wanted_.Totals(),
                     {limits.boot_vcpus, limits.boot_memory_bytes});
  ASSIGN_OR_RETURN(const std::vector<agent::v1::ContainerState> listed,
                   agent.List(deadline));
  std::map<ContainerId, agent::v1::ContainerState::State> in_guest;
  for (const agent::v1::ContainerState& state : listed) {
    in_guest[ContainerId(state.container_id())] = state.state();
  }
  for (const auto& container : containers_.All()) {
    // What was being created when the daemon died is abandoned afterwards.
    if (container->phase() == ContainerPhase::kCreating) continue;
    const auto found = in_guest.find(container->id());
    const bool known = found != in_guest.end();
    RecoverContainer(*container,
                     known ? std::optional(found->second) : std::nullopt);
  }
  // Of which there is no record.
  for (const auto& [id, state] : in_guest) {
    if (containers_.Find(id) != nullptr) continue;
    const absl::Status deleted = agent.Delete(id, deadline);
    if (!deleted.ok()) {
      Log(LogLevel::kWarning, "a left-over container cannot be deleted",
          {{"sandbox_id", this->id().value()},
           {"container_id", id.value()},
           {"error", deleted.message()}});
    }
  }
  guest_.SetHello(std::move(hello));
  return absl::OkStatus();
}

void Pod::RecoverContainer(
    Container& container,
    std::optional<agent::v1::ContainerState::State> in_guest) {
  if (!container.Counts()) return;
  if (!in_guest.has_value()) {
    (void)container.Transition(
        ContainerEvent::kExited, [&](ContainerRecord& record) {
          record.exit_code = kUnknownExitCode;
          record.finished_at = services_.vm.clock->Now();
          record.reason = "Unknown";
          record.message = "the guest does not know this container";
        });
    return;
  }
  // Started, and the daemon died before it could write that down. The exact
  // moment is lost; the end of one that has exited already comes with the
  // agent's first exit notices.
  if (container.phase() == ContainerPhase::kCreated &&
      *in_guest != agent::v1::ContainerState::CREATED) {
    (void)container.Transition(ContainerEvent::kStarted,
                               [this](ContainerRecord& record) {
                                 record.started_at = services_.vm.clock->Now();
                               });
  }
  if (container.phase() == ContainerPhase::kRunning &&
      container.pump() == nullptr) {  // else since an earlier attempt
    output_.Continue(container);
  }
}

}  // namespace podvisor
