#include "sandbox/parts/guest_recovery.h"

#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/status_macros.h"

namespace podvisor {
namespace {

void RecoverContainer(
    const GuestRecoveryParts& parts, Container& container,
    std::optional<agent::v1::ContainerState::State> in_guest) {
  if (!container.Counts()) return;
  if (!in_guest.has_value()) {
    (void)container.Transition(
        ContainerEvent::kExited, [&](ContainerRecord& record) {
          record.exit_code = kUnknownExitCode;
          record.finished_at = parts.clock->Now();
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
                               [&](ContainerRecord& record) {
                                 record.started_at = parts.clock->Now();
                               });
  }
  if (container.phase() == ContainerPhase::kRunning &&
      container.pump() == nullptr) {  // else since an earlier attempt
    parts.output->Continue(container);
  }
}

}  // namespace

absl::Status RecoverGuest(const GuestRecoveryParts& parts,
                          absl::Time deadline) {
  PodVm& vm = *parts.guest->vm();
  GuestAgent& agent = vm.vm().agent();
  ASSIGN_OR_RETURN(agent::v1::HelloResponse hello, agent.Hello(deadline));
  RETURN_IF_ERROR(vm.sizer().Observe(deadline));
  // What it has, not what it is to have: a growth is guarded.
  const VmLimits& limits = vm.sizer().limits();
  parts.accounting->Accept(parts.wanted->Totals(),
                           {limits.boot_vcpus, limits.boot_memory_bytes});
  ASSIGN_OR_RETURN(const std::vector<agent::v1::ContainerState> listed,
                   agent.List(deadline));
  std::map<ContainerId, agent::v1::ContainerState::State> in_guest;
  for (const agent::v1::ContainerState& state : listed) {
    in_guest[ContainerId(state.container_id())] = state.state();
  }
  for (const auto& container : parts.containers->All()) {
    // What was being created when the daemon died is abandoned afterwards.
    if (container->phase() == ContainerPhase::kCreating) continue;
    const auto found = in_guest.find(container->id());
    const bool known = found != in_guest.end();
    RecoverContainer(parts, *container,
                     known ? std::optional(found->second) : std::nullopt);
  }
  // Of which there is no record.
  for (const auto& [id, state] : in_guest) {
    if (parts.containers->Find(id) != nullptr) continue;
    const absl::Status deleted = agent.Delete(id, deadline);
    if (!deleted.ok()) {
      Log(LogLevel::kWarning, "a left-over container cannot be deleted",
          {{"sandbox_id", parts.pod->id().value()},
           {"container_id", id.value()},
           {"error", deleted.message()}});
    }
  }
  parts.guest->SetHello(std::move(hello));
  return absl::OkStatus();
}

}  // namespace podvisor
