// How a pod that an earlier daemon left comes back: Pod::Recover().

#include <map>
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
    RecoverContainers(deadline);
    WatchExits();
    WatchVm();
    SettleAfter(absl::ZeroDuration());
    SampleAfter(absl::ZeroDuration());
    return true;
  }
  Log(LogLevel::kWarning, "a pod did not survive until this start",
      {{"sandbox_id", id_.value()}, {"reason", adopted.message()}});
  const SandboxEvent event = found == SandboxState::kCreating
                                 ? SandboxEvent::kSetupFailed
                                 : SandboxEvent::kVmExited;
  (void)Transition(event, [&](PodRecord& record) {
    record.reason = "VmLost";
    record.message =
        CleanText(absl::StrCat("the VM was not there when the daemon started: ",
                               adopted.message()),
                  1024);
  });
  for (const auto& container : containers()) {
    (void)container->Transition(
        ContainerEvent::kExited, [&](ContainerRecord& record) {
          record.exit_code = kUnknownExitCode;
          record.finished_at = services_.vm.clock->Now();
          record.reason = "Unknown";
          record.message = "the pod's VM was gone when the daemon started";
        });
  }
  const absl::Status torn_down = TearDown(deadline);
  if (!torn_down.ok()) {
    Log(LogLevel::kError, "what a lost pod left behind is still there",
        {{"sandbox_id", id_.value()}, {"error", torn_down.message()}});
  }
  return found != SandboxState::kCreating || state() != SandboxState::kStopped;
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
  ASSIGN_OR_RETURN(agent::v1::HelloResponse hello,
                   vm->vm().agent().Hello(deadline));
  absl::MutexLock lock(&mutex_);
  vm_ = std::move(vm);
  hello_ = std::move(hello);
  return absl::OkStatus();
}

void Pod::RecoverContainers(absl::Time deadline) {
  GuestAgent& agent = vm_->vm().agent();
  std::map<ContainerId, agent::v1::ContainerState::State> in_guest;
  const absl::StatusOr<std::vector<agent::v1::ContainerState>> listed =
      agent.List(deadline);
  if (!listed.ok()) {
    Log(LogLevel::kError, "the guest's containers cannot be listed",
        {{"sandbox_id", id_.value()}, {"error", listed.status().message()}});
    return;
  }
  for (const agent::v1::ContainerState& state : *listed) {
    in_guest[ContainerId(state.container_id())] = state.state();
  }
  std::vector<std::shared_ptr<Container>> unfinished;
  for (const auto& container : containers()) {
    AdoptImage(*container);
    if (container->phase() == ContainerPhase::kCreating) {
      unfinished.push_back(container);
      continue;
    }
    const auto found = in_guest.find(container->id());
    const bool known = found != in_guest.end();
    RecoverContainer(*container,
                     known ? std::optional(found->second) : std::nullopt);
  }
  for (const auto& container : unfinished) DropContainer(container->id());
  // What was being created when the daemon died, and what was being removed.
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
  for (const auto& container : unfinished) UndoCreate(*container, deadline);
}

void Pod::AdoptImage(const Container& container) {
  if (absl::StatusOr<ImageRootFs> root_fs =
          services_.images->RootFs(container.image_hex());
      root_fs.ok()) {
    vm_->AdoptImageUser(*std::move(root_fs));
  } else {
    Log(LogLevel::kWarning, "the image of a container is gone",
        {{"container_id", container.id().value()},
         {"error", root_fs.status().message()}});
  }
}

void Pod::UndoCreate(const Container& container, absl::Time deadline) {
  vm_->RemoveMounts(container.ShareMounts());
  absl::Status undone = vm_->RemoveImageUser(container.image_hex(), deadline);
  undone.Update(services_.store->DeleteContainer(container.id()));
  if (undone.ok()) return;
  Log(LogLevel::kWarning, "an unfinished create left something behind",
      {{"container_id", container.id().value()}, {"error", undone.message()}});
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
  if (container.phase() == ContainerPhase::kRunning) {
    const absl::Status pumping = StartPump(container);
    if (!pumping.ok()) {
      Log(LogLevel::kError, "the log of a container cannot be continued",
          {{"container_id", container.id().value()},
           {"error", pumping.message()}});
    }
  }
}

}  // namespace podvisor
