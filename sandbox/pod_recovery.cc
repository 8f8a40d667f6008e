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
    if (const auto target = Target(vm_->sizer().limits()); target.ok()) {
      AcceptAccount(target->size);
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
      {{"sandbox_id", id_.value()}, {"reason", reason.message()}});
  // One that was being stopped ends as it would have.
  if (found != SandboxState::kStopping) {
    const SandboxEvent event = found == SandboxState::kCreating
                                   ? SandboxEvent::kSetupFailed
                                   : SandboxEvent::kVmExited;
    (void)Transition(event, [&](PodRecord& record) {
      record.reason = "VmLost";
      record.message = CleanText(
          absl::StrCat("the VM was not there when the daemon started: ",
                       reason.message()),
          1024);
    });
    EndContainers(kUnknownExitCode, "Unknown",
                  "the pod's VM was gone when the daemon started");
  }
  const absl::Status torn_down = TearDown(deadline);
  if (!torn_down.ok()) {
    Log(LogLevel::kError, "what a lost pod left behind is still there",
        {{"sandbox_id", id_.value()}, {"error", torn_down.message()}});
  }
}

absl::Status Pod::AdoptVm(absl::Time deadline) {
  std::string vm_json;
  {
    absl::MutexLock lock(&mutex_);
    vm_json = record_.vm_json;
  }
  ASSIGN_OR_RETURN(const VmRecord record, DecodeVmRecord(vm_json));
  ASSIGN_OR_RETURN(
      std::unique_ptr<PodVm> vm,
      PodVm::Adopt(services_.vm, id_, spec_, record, Recorder(), deadline));
  {
    absl::MutexLock lock(&mutex_);
    vm_ = std::move(vm);
    guest_ = absl::UnavailableError("it was not asked yet");
  }
  for (const auto& container : containers()) AdoptImages(*container);
  WatchVm();
  CheckNetwork(deadline);
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
    vm_->AdoptImageUser(*std::move(root_fs), container.id());
  }
}

void Pod::MeetGuest(absl::Duration backoff, absl::Time deadline) {
  const absl::Status met = RecoverGuest(deadline);
  {
    absl::MutexLock lock(&mutex_);
    // Of an earlier daemon; from here on there may be new ones.
    if (met.ok()) {
      AbandonCreatingLocked();
      HoldEndedLocked();
    }
    guest_ = met;
  }
  if (met.ok()) {
    WatchExits();
    SettleAfter(absl::ZeroDuration());
    SampleAfter(absl::ZeroDuration());
    return;
  }
  Log(LogLevel::kWarning,
      "the guest of a pod does not answer; it runs on and is asked again",
      {{"sandbox_id", id_.value()},
       {"after", absl::FormatDuration(backoff)},
       {"error", met.message()}});
  MeetGuestAfter(backoff);
}

void Pod::MeetGuestAfter(absl::Duration delay) {
  services_.timers->Schedule(delay, [weak = weak_from_this(), delay] {
    const std::shared_ptr<Pod> pod = weak.lock();
    if (pod == nullptr || pod->state() != SandboxState::kReady) return;
    if (!pod->operation_lock_.LockUntil(absl::InfinitePast())) {
      pod->MeetGuestAfter(delay);
      return;
    }
    const OperationHolder operation(&pod->operation_lock_);
    pod->MeetGuest(std::min(2 * delay, kMostBackoff),
                   pod->services_.vm.clock->Now() + kLaterMeeting);
  });
}

absl::Status Pod::RecoverGuest(absl::Time deadline) {
  GuestAgent& agent = vm_->vm().agent();
  ASSIGN_OR_RETURN(agent::v1::HelloResponse hello, agent.Hello(deadline));
  RETURN_IF_ERROR(vm_->sizer().Observe(deadline));
  // What it has, not what it is to have: a growth is guarded.
  const VmLimits& limits = vm_->sizer().limits();
  AcceptAccount({limits.boot_vcpus, limits.boot_memory_bytes});
  ASSIGN_OR_RETURN(const std::vector<agent::v1::ContainerState> listed,
                   agent.List(deadline));
  std::map<ContainerId, agent::v1::ContainerState::State> in_guest;
  for (const agent::v1::ContainerState& state : listed) {
    in_guest[ContainerId(state.container_id())] = state.state();
  }
  for (const auto& container : containers()) {
    // What was being created when the daemon died is abandoned afterwards.
    if (container->phase() == ContainerPhase::kCreating) continue;
    const auto found = in_guest.find(container->id());
    const bool known = found != in_guest.end();
    RecoverContainer(*container,
                     known ? std::optional(found->second) : std::nullopt);
  }
  // Of which there is no record.
  for (const auto& [id, state] : in_guest) {
    if (FindContainer(id) != nullptr) continue;
    const absl::Status deleted = agent.Delete(id, deadline);
    if (!deleted.ok()) {
      Log(LogLevel::kWarning, "a left-over container cannot be deleted",
          {{"sandbox_id", id_.value()},
           {"container_id", id.value()},
           {"error", deleted.message()}});
    }
  }
  absl::MutexLock lock(&mutex_);
  hello_ = std::move(hello);
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
  if (container.phase() == ContainerPhase::kRunning) ContinueOutput(container);
}

void Pod::ContinueOutput(Container& container) {
  if (container.pump() != nullptr) return;  // since an earlier attempt
  const absl::Status pumping = StartPump(container);
  if (pumping.ok()) return;
  Log(LogLevel::kError,
      "the log of a container cannot be continued; its output is discarded",
      {{"container_id", container.id().value()}, {"error", pumping.message()}});
  // Without a reader the container would stand still once its pipe is full.
  const absl::Status draining = Pump(container, "");
  if (draining.ok()) return;
  Log(LogLevel::kError, "the output of a container has no reader",
      {{"container_id", container.id().value()},
       {"error", draining.message()}});
}

}  // namespace podvisor
