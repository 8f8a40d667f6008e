#include "sandbox/parts/container_ends.h"

#include <csignal>
#include <string>

#include "base/log.h"

namespace podvisor {

void ContainerEnds::Watch() {
  watcher_ = std::make_unique<ExitWatcher>(
      &parts_.guest->vm()->vm().agent(),
      [this](const agent::v1::ContainerExit& exit) { OnExit(exit); },
      parts_.clock);
  watcher_->Start();
}

void ContainerEnds::StopWatching() {
  if (parts_.guest->vm() == nullptr) return;
  parts_.guest->vm()->vm().agent().Disconnect();
  parts_.output->DropAll();
  watcher_.reset();
}

absl::Status ContainerEnds::Record(
    Container& container, ContainerEvent event,
    const std::function<void(ContainerRecord&)>& change) {
  const absl::Duration delay = parts_.settings->shrink_delay;
  if (container.Counts()) {
    parts_.wanted->Hold(container);
    // Before anybody can see the end and wait for what follows from it.
    parts_.settle->After(delay);
  }
  const absl::Status ended = container.Transition(event, change);
  // Without a delay that run may have come before the end was recorded.
  parts_.settle->After(delay);
  parts_.news->Tell();
  return ended;
}

void ContainerEnds::OnExit(const agent::v1::ContainerExit& exit) {
  const std::shared_ptr<Container> container =
      parts_.containers->Find(ContainerId(exit.container_id()));
  // One that is still being created ends with an error of its creation.
  if (container == nullptr || !container->Counts() ||
      container->phase() == ContainerPhase::kCreating) {
    return;
  }
  // First the last lines, then the news: who sees the exit reads the log.
  if (const std::shared_ptr<LogPump> pump = container->pump()) {
    (void)pump->WaitDrained(parts_.clock->Now() + kLastOutputTime);
  }
  const absl::Time start_begun = container->start_begun();
  const absl::Status stored =
      Record(*container, ContainerEvent::kExited, [&](ContainerRecord& record) {
        record.exit_code = exit.exit_code();
        if (record.started_at == absl::InfinitePast()) {
          record.started_at = start_begun;
        }
        record.finished_at = absl::FromUnixNanos(exit.finished_at_unix_nanos());
        record.reason = exit.oom_killed()       ? "OOMKilled"
                        : exit.exit_code() == 0 ? "Completed"
                                                : "Error";
      });
  if (!stored.ok()) {
    Log(LogLevel::kError, "the end of a container could not be stored",
        {{"sandbox_id", parts_.pod->id().value()},
         {"container_id", container->id().value()},
         {"error", stored.message()}});
  }
}

void ContainerEnds::RecordAll(int exit_code, absl::string_view reason,
                              absl::string_view message) {
  for (const auto& container : parts_.containers->All()) {
    if (!container->Counts()) continue;
    (void)container->Transition(ContainerEvent::kExited,
                                [&](ContainerRecord& record) {
                                  record.exit_code = exit_code;
                                  record.finished_at = parts_.clock->Now();
                                  record.reason = std::string(reason);
                                  record.message = std::string(message);
                                });
  }
  parts_.news->Tell();
}

void ContainerEnds::KillAll(absl::Time deadline) {
  PodVm* const vm = parts_.guest->vm();
  if (vm == nullptr || vm->vm().process().Exited()) return;
  GuestAgent& agent = vm->vm().agent();
  for (const auto& container : parts_.containers->All()) {
    if (container->phase() == ContainerPhase::kRunning) {
      (void)agent.Signal(container->id(), SIGKILL, true, deadline);
    }
  }
  for (const auto& container : parts_.containers->All()) {
    if (container->phase() == ContainerPhase::kRunning) {
      container->AwaitExit(deadline);
    }
  }
}

}  // namespace podvisor
