#include "sandbox/pod/container_lifecycle.h"

#include <algorithm>
#include <csignal>
#include <optional>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "base/clean_text.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "sandbox/container/container_request.h"
#include "sandbox/container/stop_signal.h"
#include "sandbox/size/pod_sizing.h"

namespace podvisor {
namespace {

constexpr int kStartErrorExitCode = 128;
// How long a process may take to be gone after SIGKILL before the caller is
// told that it is not.
constexpr absl::Duration kKillTime = absl::Seconds(10);
// How long the last output may take when the process has gone: a child of it
// may hold the pipe for ever.
constexpr absl::Duration kDrainTime = absl::Seconds(2);
// How long the guest may take to give a cgroup back what it had.
constexpr absl::Duration kUndoTime = absl::Seconds(10);
// To find out what came of a start, when the call's own time is over.
constexpr absl::Duration kFindOutTime = absl::Seconds(2);

absl::Time Now(const Pod& pod) { return pod.services().vm.clock->Now(); }

void LogFailure(const Container& container, absl::string_view what,
                const absl::Status& status) {
  if (status.ok()) return;
  Log(LogLevel::kWarning, what,
      {{"container_id", container.id().value()}, {"error", status.message()}});
}

// Everything that creating a container does in the guest. After an error the
// caller abandons the container.
absl::Status Build(const Pod& pod, PodVm& vm, Container& container,
                   const Image& image, std::vector<ImageRootFs> images,
                   absl::Time deadline) {
  for (ImageRootFs& used : images) {
    RETURN_IF_ERROR(vm.AddImageUser(std::move(used), container.id(), deadline));
  }
  ASSIGN_OR_RETURN(std::vector<PlacedMount> mounts,
                   vm.AddMounts(container.ShareMounts(), deadline));
  const ContainerSnapshot snapshot = container.Snapshot();
  const ContainerRequestInput input = {snapshot.spec, image.config,
                                       container.image_hex(), std::move(mounts),
                                       pod.services().vm.settings->cpuset};
  ASSIGN_OR_RETURN(const agent::v1::ContainerSpec request,
                   MakeContainerRequest(input));
  ASSIGN_OR_RETURN(const agent::v1::CreateContainerResponse created,
                   vm.vm().agent().Create(container.id(), request, deadline));
  return container.Transition(
      ContainerEvent::kCreated, [&](ContainerRecord& record) {
        ResolvedUser& user = record.user.emplace();
        user.uid = created.uid();
        user.gid = created.gid();
        user.supplemental_groups.assign(created.supplemental_groups().begin(),
                                        created.supplemental_groups().end());
      });
}

// Makes room in the VM, then the container.
absl::Status GrowAndBuild(Pod& pod, const ContainerRecord& record,
                          Container& container, const Image& image,
                          std::vector<ImageRootFs> images, absl::Time deadline)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(pod.operation_lock()) {
  ASSIGN_OR_RETURN(PodVm* const vm, pod.guest().ReadyVm());
  RETURN_IF_ERROR(pod.services().store->PutContainer(record));
  ASSIGN_OR_RETURN(const PodDemand demand, DemandOf(record.resources));
  RETURN_IF_ERROR(CheckFitsWithoutHotplug(demand, vm->sizer().limits()));
  RETURN_IF_ERROR(pod.resizer().CheckCpusetOf(container, record.resources));
  RETURN_IF_ERROR(pod.resizer().Grow(&container, deadline));
  return Build(pod, *vm, container, image, std::move(images), deadline);
}

// Finds the images of the container's image volumes: notes in `spec` what they
// are, and adds their root file systems to `images`.
absl::Status FindImageVolumes(ImageStore& store, ContainerSpec* spec,
                              std::vector<ImageRootFs>* images) {
  for (MountSpec& mount : spec->mounts) {
    if (mount.image.empty()) continue;
    const absl::StatusOr<Image> image = store.Get(mount.image);
    absl::Status found = image.status();
    if (found.ok()) {
      mount.image_id = image->id;
      absl::StatusOr<ImageRootFs> root_fs = store.RootFs(image->id);
      found = root_fs.status();
      if (found.ok()) images->push_back(*std::move(root_fs));
    }
    RETURN_IF_ERROR(Annotate(found, absl::StrCat(kImageVolumeMountFailed, ": ",
                                                 mount.container_path)));
  }
  return absl::OkStatus();
}

ContainerRecord NewRecord(const Pod& pod, const ContainerSpec& spec,
                          const Image& image) {
  ContainerRecord record;
  record.id = ContainerId(RandomHexId());
  record.pod_id = pod.id();
  record.spec = spec;
  // An image that names no signal of this world must not keep its container
  // from being stopped: that is then SIGTERM.
  if (record.spec.stop_signal.empty() &&
      ParseSignal(image.config.stop_signal).ok()) {
    record.spec.stop_signal = image.config.stop_signal;
  }
  record.created_at = Now(pod);
  record.image_id = image.id;
  record.image_ref = image.id;
  record.resources = spec.resources;
  return record;
}

absl::Status Kill(Pod& pod, Container& container, absl::Time deadline) {
  ASSIGN_OR_RETURN(GuestAgent* const agent, pod.guest().ReadyAgent());
  const absl::Time kill_deadline = std::min(deadline, Now(pod) + kKillTime);
  RETURN_IF_ERROR(agent->Signal(container.id(), SIGKILL,
                                /*all_processes=*/true, kill_deadline));
  if (!container.AwaitExit(kill_deadline)) {
    return absl::DeadlineExceededError(
        absl::StrCat("container ", container.id().value(),
                     " was killed and is still there"));
  }
  return absl::OkStatus();
}

// A created container has a process in the guest that waits for its start. It
// never ran, so it ends without a word.
absl::Status DiscardCreated(Pod& pod, Container& container,
                            absl::Time deadline) {
  const absl::StatusOr<GuestAgent*> agent = pod.guest().ReadyAgent();
  if (absl::IsUnavailable(agent.status())) return agent.status();
  if (agent.ok()) RETURN_IF_ERROR((*agent)->Delete(container.id(), deadline));
  return pod.ends().Record(container, ContainerEvent::kExited,
                           [&](ContainerRecord& record) {
                             record.exit_code = 128 + SIGKILL;
                             record.finished_at = Now(pod);
                             record.reason = "Error";
                           });
}

// An answer that leaves open whether the process runs: none, and that of an
// agent which finds it started by an earlier call.
bool LeavesOpen(const absl::Status& started) {
  return absl::IsDeadlineExceeded(started) || absl::IsUnavailable(started) ||
         absl::IsCancelled(started) || absl::IsFailedPrecondition(started);
}

absl::StatusOr<bool> WasStarted(GuestAgent& agent, const ContainerId& id,
                                absl::Time deadline) {
  ASSIGN_OR_RETURN(const std::vector<agent::v1::ContainerState> listed,
                   agent.List(deadline));
  for (const agent::v1::ContainerState& one : listed) {
    if (one.container_id() != id.value()) continue;
    return one.state() != agent::v1::ContainerState::CREATED;
  }
  return false;
}

// Starts the process. An error without a transition to exited means that nobody
// knows whether it runs: the container stays created, and whoever starts or
// ends it next finds out, or the next daemon.
absl::Status StartInGuest(Pod& pod, Container& container, GuestAgent& agent,
                          absl::Time deadline) {
  const absl::Status started = agent.Start(container.id(), deadline);
  if (started.ok()) return started;
  const absl::Time soon = Now(pod) + kFindOutTime;
  if (LeavesOpen(started)) {
    const absl::StatusOr<bool> runs = WasStarted(agent, container.id(), soon);
    if (!runs.ok()) return started;
    if (*runs) return absl::OkStatus();
  }
  // A start may still be on its way: a container that is deleted never runs.
  const absl::Status deleted = agent.Delete(container.id(), soon);
  LogFailure(container, "delete a container that did not start", deleted);
  if (LeavesOpen(started) && !deleted.ok()) return started;
  pod.output().End(container);
  LogFailure(container, "store a failed start",
             pod.ends().Record(container, ContainerEvent::kStartFailed,
                               [&](ContainerRecord& record) {
                                 record.exit_code = kStartErrorExitCode;
                                 record.finished_at = Now(pod);
                                 record.reason = "StartError";
                                 record.message =
                                     CleanText(started.message(), 4096);
                               }));
  return started;
}

// `cause`, after the container's cgroup was given back what it had, and with
// what came of that.
absl::Status UndoUpdate(const Pod& pod, Container& container, GuestAgent& agent,
                        const absl::Status& cause) {
  const absl::Status undone = agent.Update(
      container.id(),
      ExplicitResourcesOf(container.resources(),
                          pod.services().vm.settings->cpuset,
                          container.tried().value_or(ContainerResources())),
      Now(pod) + kUndoTime);
  if (undone.ok()) {
    container.SetCgroupIsKnown();
    return cause;
  }
  // The VM keeps room for either until it is known again.
  return absl::Status(
      cause.code(),
      absl::StrCat(cause.message(),
                   " (and what the container had could not be restored yet: ",
                   undone.message(), ")"));
}

absl::Status StopLocked(Pod& pod, Container& container, absl::Duration grace,
                        absl::Time deadline) {
  switch (container.phase()) {
    case ContainerPhase::kCreating:
      return absl::FailedPreconditionError("the container is being created");
    case ContainerPhase::kExited:
      return absl::OkStatus();
    case ContainerPhase::kCreated:
      return DiscardCreated(pod, container, deadline);
    case ContainerPhase::kRunning:
      break;
  }
  const absl::StatusOr<GuestAgent*> agent = pod.guest().ReadyAgent();
  if (absl::IsUnavailable(agent.status())) return agent.status();
  if (!agent.ok()) {
    // The pod is going down and takes its containers with it.
    if (container.AwaitExit(deadline)) return absl::OkStatus();
    return absl::DeadlineExceededError("the pod is still being stopped");
  }
  if (grace > absl::ZeroDuration()) {
    const std::string name = container.Snapshot().stop_signal;
    ASSIGN_OR_RETURN(const int signal,
                     name.empty() ? SIGTERM : ParseSignal(name));
    RETURN_IF_ERROR((*agent)->Signal(container.id(), signal,
                                     /*all_processes=*/false, deadline));
    if (!container.AwaitExitOrKill(deadline)) {
      RETURN_IF_ERROR(Kill(pod, container, deadline));
    }
  } else {
    RETURN_IF_ERROR(Kill(pod, container, deadline));
  }
  if (const std::shared_ptr<LogPump> pump = container.pump()) {
    LogFailure(container, "the last output is late",
               pump->WaitDrained(std::min(deadline, Now(pod) + kDrainTime)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<Container>> CreateContainer(
    Pod& pod, const ContainerSpec& spec, absl::Time deadline) {
  RETURN_IF_ERROR(pod.guest().ReadyAgent().status());
  if (!spec.stop_signal.empty()) {
    RETURN_IF_ERROR(ParseSignal(spec.stop_signal).status());
  }
  const PodServices& services = pod.services();
  ASSIGN_OR_RETURN(const Image image, services.images->Get(spec.image));
  std::vector<ImageRootFs> images(1);
  ASSIGN_OR_RETURN(images.front(), services.images->RootFs(image.id));
  ContainerSpec resolved = spec;
  RETURN_IF_ERROR(FindImageVolumes(*services.images, &resolved, &images));
  // What can never be is refused before anything is touched.
  RETURN_IF_ERROR(DemandOf(spec.resources).status());

  const ContainerRecord record = NewRecord(pod, resolved, image);
  const auto container = std::make_shared<Container>(
      services.store, record, pod.output().LogPathOf(spec));
  // Counts from here on, so that all that wait for their turn make one plan.
  RETURN_IF_ERROR(pod.containers().Add(container));
  if (!pod.operation_lock().LockUntil(deadline)) {
    pod.containers().Drop(container->id());
    pod.settle().After(absl::ZeroDuration());
    return pod.operation_lock().Busy();
  }
  const OperationHolder operation(&pod.operation_lock());
  const absl::Status created =
      GrowAndBuild(pod, record, *container, image, std::move(images), deadline);
  if (!created.ok()) {
    pod.eraser().Abandon(container);
    return created;
  }
  return container;
}

absl::Status StartContainer(Pod& pod, Container& container,
                            absl::Time deadline) {
  if (!container.operation_lock().LockUntil(deadline)) {
    return container.operation_lock().Busy();
  }
  const OperationHolder operation(&container.operation_lock());
  if (container.phase() != ContainerPhase::kCreated) {
    return absl::FailedPreconditionError(absl::StrCat(
        "container ", container.id().value(), " was started before"));
  }
  ASSIGN_OR_RETURN(GuestAgent* const agent, pod.guest().ReadyAgent());
  RETURN_IF_ERROR(pod.resizer().Verify(deadline));
  // The reader first, so that no output waits for it. There is one already when
  // nobody could tell what came of an earlier start.
  if (container.pump() == nullptr)
    RETURN_IF_ERROR(pod.output().Start(container));
  const absl::Time started_at = Now(pod);
  container.SetStartBegun(started_at);
  const absl::Status started = StartInGuest(pod, container, *agent, deadline);
  if (!started.ok()) {
    container.SetStartBegun(absl::InfinitePast());
    return started;
  }
  // A started container has stats at once.
  pod.sampler().SampleIfOlderThan(absl::ZeroDuration());
  const auto set_started = [&](ContainerRecord& record) {
    record.started_at = started_at;
  };
  const absl::Status running =
      container.Transition(ContainerEvent::kStarted, set_started);
  // A process that ended at once has been recorded as exited by now.
  if (absl::IsFailedPrecondition(running)) return container.Change(set_started);
  pod.news().Tell();
  // It runs, stored or not; a daemon that has to looks into the guest.
  LogFailure(container, "the start of a container could not be stored",
             running);
  return absl::OkStatus();
}

absl::Status StopContainer(Pod& pod, Container& container, absl::Duration grace,
                           absl::Time deadline) {
  // Before its turn, which may come after another stop with a longer grace.
  const Container::StopRequest request(&container, Now(pod) + grace);
  if (!container.operation_lock().LockUntil(deadline)) {
    return container.operation_lock().Busy();
  }
  const OperationHolder operation(&container.operation_lock());
  return StopLocked(pod, container, grace, deadline);
}

absl::Status RemoveContainer(Pod& pod, Container& container,
                             absl::Time deadline) {
  const Container::StopRequest request(&container, Now(pod));
  if (!container.operation_lock().LockUntil(deadline)) {
    return container.operation_lock().Busy();
  }
  const OperationHolder operation(&container.operation_lock());
  if (pod.containers().Find(container.id()) == nullptr) return absl::OkStatus();
  RETURN_IF_ERROR(StopLocked(pod, container, absl::ZeroDuration(), deadline));
  {
    if (!pod.operation_lock().LockUntil(deadline)) {
      return pod.operation_lock().Busy();
    }
    const OperationHolder pod_operation(&pod.operation_lock());
    RETURN_IF_ERROR(pod.eraser().Erase(container, deadline));
    if (pod.guest().ReadyVm().ok()) pod.output().End(container);
  }
  pod.containers().Drop(container.id());
  return absl::OkStatus();
}

absl::Status UpdateContainer(Pod& pod, Container& container,
                             const ContainerResources& update,
                             absl::Time deadline) {
  if (!container.operation_lock().LockUntil(deadline)) {
    return container.operation_lock().Busy();
  }
  const OperationHolder operation(&container.operation_lock());
  const ContainerPhase phase = container.phase();
  if (phase != ContainerPhase::kCreated && phase != ContainerPhase::kRunning) {
    return absl::FailedPreconditionError(
        absl::StrCat("container ", container.id().value(), " is not running"));
  }
  const ContainerResources after =
      MergeResources(container.resources(), update);
  ASSIGN_OR_RETURN(const PodDemand demand, DemandOf(after));
  ASSIGN_OR_RETURN(GuestAgent* const agent, pod.guest().ReadyAgent());

  // From here on the VM has room for either, whatever happens.
  container.SetUpdate(after);
  const absl::Cleanup end = [&] {
    container.SetUpdate(std::nullopt);
    pod.settle().After(absl::ZeroDuration());
  };
  {
    if (!pod.operation_lock().LockUntil(deadline)) {
      return pod.operation_lock().Busy();
    }
    const OperationHolder pod_operation(&pod.operation_lock());
    ASSIGN_OR_RETURN(PodVm* const vm, pod.guest().ReadyVm());
    RETURN_IF_ERROR(CheckFitsWithoutHotplug(demand, vm->sizer().limits()));
    RETURN_IF_ERROR(pod.resizer().CheckCpusetOf(container, after));
    RETURN_IF_ERROR(pod.resizer().Grow(&container, deadline));
    container.SetUpdateHasRoom();
  }
  const CpusetMode cpuset = pod.services().vm.settings->cpuset;
  const std::optional<ContainerResources> tried = container.tried();
  RETURN_IF_ERROR(Annotate(container.SetTried(after), "state store"));
  const agent::v1::LinuxResources request =
      tried.has_value() ? ExplicitResourcesOf(after, cpuset, *tried)
                        : GuestResourcesOf(after, cpuset);
  absl::Status updated = Annotate(
      agent->Update(container.id(), request, deadline), "container cgroup");
  if (updated.ok()) {
    updated = Annotate(container.SetApplied(after), "state store");
  }
  if (updated.ok()) return updated;
  return UndoUpdate(pod, container, *agent, updated);
}

absl::StatusOr<ExecSyncResult> ExecSync(Pod& pod, Container& container,
                                        std::vector<std::string> command,
                                        std::stop_token gone,
                                        absl::Time deadline) {
  if (container.phase() != ContainerPhase::kRunning) {
    return absl::FailedPreconditionError(
        absl::StrCat("container ", container.id().value(), " is not running"));
  }
  if (command.empty()) return absl::InvalidArgumentError("no command");
  ASSIGN_OR_RETURN(GuestAgent* const agent, pod.guest().ReadyAgent());
  ExecSyncRequest request;
  request.container = container.id();
  request.args = std::move(command);
  request.gone = std::move(gone);
  return agent->ExecSync(request, deadline);
}

absl::Status ReopenLog(Container& container) {
  const std::shared_ptr<LogPump> pump = container.pump();
  if (container.phase() != ContainerPhase::kRunning || pump == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("container ", container.id().value(), " is not running"));
  }
  return pump->log()->Reopen();
}

}  // namespace podvisor
