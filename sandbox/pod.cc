#include "sandbox/pod.h"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clean_text.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "sandbox/grow_error.h"
#include "sandbox/vm_files.h"
#include "sandbox/vm_record_json.h"

namespace podvisor {
namespace {

// How long a stopping guest gets to flush its file systems. The clients that
// wait for StopPodSandbox give it two seconds in all (crictl's default).
constexpr absl::Duration kPowerOffGrace = absl::Milliseconds(700);
// How long the last output of a container that has ended may take.
constexpr absl::Duration kDrainTime = absl::Milliseconds(500);
// How long the containers of a pod that stops, and a call that still works on
// it, may take.
constexpr absl::Duration kKillTime = absl::Seconds(1);
// What a failed boot leaves is removed in time of its own.
constexpr absl::Duration kCleanUpTime = absl::Seconds(10);
// How soon a pod whose VM has ended is looked at again, where it is busy.
constexpr absl::Duration kClearAwayRetry = absl::Seconds(1);
// How long it may take to erase a container that never came to be.
constexpr absl::Duration kEraseTime = absl::Seconds(10);
// Soon, so that a new pod has its values, and not while it still settles.
constexpr absl::Duration kFirstSample = absl::Seconds(1);

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

Pod::Pod(const PodServices& services, PodRecord record)
    : services_(services),
      id_(record.id),
      spec_(record.spec),
      operation_lock_(absl::StrCat("pod ", record.id.value())),
      record_(std::move(record)) {}

Pod::~Pod() { StopWatching(); }

PodSnapshot Pod::Snapshot() const {
  absl::MutexLock lock(&mutex_);
  PodSnapshot snapshot;
  snapshot.id = id_;
  snapshot.spec = record_.spec;
  snapshot.state = record_.state;
  snapshot.created_at = record_.created_at;
  snapshot.ips = record_.ips;
  snapshot.agent_version = hello_.agent_version();
  snapshot.kernel_release = hello_.kernel_release();
  snapshot.last_error = record_.message;
  snapshot.account = account_;
  snapshot.usage = usage_;
  if (vm_ != nullptr) {
    const VmRecord vm = vm_->record();
    snapshot.vm = SizesLocked();
    // What a VM that has ended was doing before is no news of it.
    if (snapshot.state == SandboxState::kReady) {
      if (snapshot.last_error.empty()) {
        snapshot.last_error = vm_->sizer().last_error();
      }
      if (snapshot.last_error.empty()) snapshot.last_error = run_error_;
      if (snapshot.last_error.empty()) {
        snapshot.last_error = std::string(CheckReady().message());
      }
    }
    snapshot.accelerator = vm.accelerator == Accelerator::kKvm ? "kvm" : "tcg";
    snapshot.boot_time = vm_->vm().boot_timings().hello;
    if (record_.state == SandboxState::kReady) snapshot.vmm_pid = vm.qemu.pid;
    snapshot.console_path =
        absl::StrCat(vm_->directory(), "/", VmFiles::kConsole);
    snapshot.cgroup_path = vm_->cgroup().path();
  }
  return snapshot;
}

SandboxState Pod::state() const {
  absl::MutexLock lock(&mutex_);
  return record_.state;
}

absl::Status Pod::Transition(SandboxEvent event,
                             const std::function<void(PodRecord&)>& change) {
  absl::MutexLock lock(&mutex_);
  const std::optional<SandboxState> next = NextState(record_.state, event);
  if (!next.has_value()) {
    return absl::FailedPreconditionError(
        absl::StrCat("pod ", id_.value(), " is ", Name(record_.state)));
  }
  PodRecord changed = record_;
  changed.state = *next;
  change(changed);
  const absl::Status stored = services_.store->PutPod(changed);
  if (!stored.ok()) {
    // Only what a pod takes hold of has to be known to the next daemon. That
    // its VM ended, or is to end, is so also where nobody can write it down: a
    // daemon that reads the older record sees it and ends what is left.
    if (event == SandboxEvent::kAgentReady) return stored;
    Log(LogLevel::kError, "the state of a pod cannot be stored",
        {{"sandbox_id", id_.value()}, {"error", stored.message()}});
  }
  record_ = std::move(changed);
  return absl::OkStatus();
}

VmRecorder Pod::Recorder() {
  return [this](const VmRecord& vm) {
    absl::MutexLock lock(&mutex_);
    PodRecord changed = record_;
    changed.vm_json = EncodeVmRecord(vm);
    RETURN_IF_ERROR(services_.store->PutPod(changed));
    record_ = std::move(changed);
    return absl::OkStatus();
  };
}

absl::Status Pod::BootVm(uid_t uid, absl::Time deadline) {
  ASSIGN_OR_RETURN(const VmLimits limits,
                   LimitsOf(*services_.vm.settings, spec_.size));
  if (spec_.size.max_vcpus.value_or(0) > limits.max_vcpus) {
    Log(LogLevel::kWarning, "a pod asks for more vCPUs than a VM may have here",
        {{"sandbox_id", id_.value()},
         {"wanted", absl::StrCat(*spec_.size.max_vcpus)},
         {"max_vcpus", absl::StrCat(limits.max_vcpus)}});
  }
  const PodTotals totals = Totals();
  RETURN_IF_ERROR(CheckTotals(totals, limits));
  ASSIGN_OR_RETURN(const VmTarget target, Target(limits));
  ASSIGN_OR_RETURN(const PodAccount account, AccountOf(totals, target.size));
  RETURN_IF_ERROR(Guard(account));
  SetAccount(account);
  ASSIGN_OR_RETURN(std::unique_ptr<PodVm> vm,
                   PodVm::Boot(services_.vm, id_, spec_, uid, Recorder(),
                               RecorderOfNetwork(), deadline));
  const absl::StatusOr<agent::v1::HelloResponse> hello =
      vm->vm().agent().Hello(deadline);
  {
    absl::MutexLock lock(&mutex_);
    vm_ = std::move(vm);
    if (hello.ok()) hello_ = *hello;
  }
  RETURN_IF_ERROR(hello.status());
  const VmSize base = {limits.boot_vcpus, limits.boot_memory_bytes};
  if (target.size == base) {
    LogCuts(target);
    return absl::OkStatus();
  }
  return GrowError(GrowTo(totals, target, target, deadline),
                   "to what the pod asks for");
}

absl::Status Pod::Boot(uid_t uid, absl::Time deadline) {
  if (!operation_lock_.LockUntil(deadline)) return operation_lock_.Busy();
  const OperationHolder operation(&operation_lock_);
  absl::Status status = BootVm(uid, deadline);
  // A stop that came meanwhile has made this transition illegal.
  if (status.ok()) status = Transition(SandboxEvent::kAgentReady, [](auto&) {});
  if (!status.ok()) {
    (void)Transition(SandboxEvent::kSetupFailed, [](auto&) {});
    const absl::Status torn_down =
        TearDown(services_.vm.clock->Now() + kCleanUpTime);
    if (!torn_down.ok()) {
      Log(LogLevel::kError, "what a failed boot left behind is still there",
          {{"sandbox_id", id_.value()}, {"error", torn_down.message()}});
    }
    return status;
  }
  TellEvents();
  WatchExits();
  WatchVm();
  PublishMetrics();
  SampleAfter(kFirstSample);
  const BootTimings boot = vm_->vm().boot_timings();
  services_.vm.metrics->ObserveBoot("qmp", boot.qmp);
  services_.vm.metrics->ObserveBoot("hello", boot.hello);
  return absl::OkStatus();
}

absl::Status Pod::Stop(absl::Time deadline) {
  if (state() == SandboxState::kStopped) return absl::OkStatus();
  RETURN_IF_ERROR(Transition(SandboxEvent::kStopRequested, [](auto&) {}));
  // Without the operation lock: whoever holds it may be waiting for just
  // these containers.
  const absl::Time soon =
      std::min(deadline, services_.vm.clock->Now() + kKillTime);
  KillContainers(soon);
  if (!operation_lock_.LockUntil(soon)) {
    AbortOperation(deadline);
    if (!operation_lock_.LockUntil(deadline)) return operation_lock_.Busy();
  }
  const OperationHolder operation(&operation_lock_);
  if (state() == SandboxState::kStopped) return absl::OkStatus();
  return TearDown(deadline);
}

void Pod::KillContainers(absl::Time deadline) {
  GuestAgent* agent = nullptr;
  {
    absl::MutexLock lock(&mutex_);
    if (vm_ != nullptr && !vm_->vm().Exited()) agent = &vm_->vm().agent();
  }
  if (agent == nullptr) return;
  for (const auto& container : containers()) {
    if (container->phase() == ContainerPhase::kRunning) {
      (void)agent->Signal(container->id(), SIGKILL, true, deadline);
    }
  }
  for (const auto& container : containers()) {
    if (container->phase() == ContainerPhase::kRunning) {
      container->AwaitExit(deadline);
    }
  }
}

void Pod::AbortOperation(absl::Time deadline) {
  Vm* vm = nullptr;
  {
    absl::MutexLock lock(&mutex_);
    if (vm_ != nullptr) vm = &vm_->vm();
  }
  if (vm == nullptr) return;
  Log(LogLevel::kWarning, "a pod is stopped while it waits for its guest",
      {{"sandbox_id", id_.value()}});
  vm->agent().Disconnect();
  // QEMU waits for the guest too: for memory that it is to take, say.
  const absl::Status killed = vm->Kill(deadline);
  if (!killed.ok()) {
    Log(LogLevel::kError, "the VM of a pod that is stopped cannot be killed",
        {{"sandbox_id", id_.value()}, {"error", killed.message()}});
  }
}

absl::Status Pod::TearDown(absl::Time deadline) {
  if (vm_ != nullptr) {
    RETURN_IF_ERROR(vm_->TearDown(kPowerOffGrace, deadline));
  } else {
    RETURN_IF_ERROR(PodVm::Sweep(services_.vm, id_, spec_, deadline));
  }
  // Whatever the network does now, nothing of the pod runs any more.
  AbandonOutput();
  StopWatching();
  services_.vm.metrics->RemoveVm(id_);
  EndContainers(128 + SIGKILL, "Error", "the pod was stopped");
  ASSIGN_OR_RETURN(const Leaving network, LeaveNetwork(deadline));
  RETURN_IF_ERROR(Transition(SandboxEvent::kTornDown, [&](PodRecord& record) {
    record.finished_at = services_.vm.clock->Now();
    record.vm_json.clear();
    if (network == Leaving::kLeft) record.network_json.clear();
    record.ips.clear();
  }));
  TellEvents();
  return absl::OkStatus();
}

absl::Status Pod::Forget() {
  LeaveNetworkAtLast();
  return services_.store->DeletePod(id_);
}

absl::Status Pod::AddContainer(std::shared_ptr<Container> container) {
  const ContainerSnapshot wanted = container->Snapshot();
  absl::MutexLock lock(&mutex_);
  for (const auto& [id, existing] : containers_) {
    const ContainerSnapshot other = existing->Snapshot();
    if (other.spec.name == wanted.spec.name &&
        other.spec.attempt == wanted.spec.attempt) {
      return absl::AlreadyExistsError(absl::StrCat(
          "container \"", CleanText(wanted.spec.name, 256), "\", attempt ",
          wanted.spec.attempt, ", is there already: ", id.value()));
    }
  }
  containers_[container->id()] = std::move(container);
  return absl::OkStatus();
}

void Pod::DropContainer(const ContainerId& id) {
  absl::MutexLock lock(&mutex_);
  containers_.erase(id);
}

std::vector<ContainerSnapshot> Pod::ContainerSnapshots() const {
  std::vector<ContainerSnapshot> all;
  for (const auto& container : containers()) {
    ContainerSnapshot snapshot = container->Snapshot();
    if (snapshot.phase == ContainerPhase::kCreating) continue;
    all.push_back(std::move(snapshot));
  }
  return all;
}

void Pod::TellEvents(bool removed) {
  absl::MutexLock lock(&told_mutex_);
  services_.events->Publish(told_.Advance(Snapshot(), ContainerSnapshots(),
                                          removed, services_.vm.clock->Now()));
}

void Pod::BeginEvents() {
  absl::MutexLock lock(&told_mutex_);
  told_.Adopt(Snapshot(), ContainerSnapshots());
}

absl::Status Pod::RememberContainers() {
  absl::MutexLock lock(&mutex_);
  if (record_.had_containers) return absl::OkStatus();
  PodRecord changed = record_;
  changed.had_containers = true;
  RETURN_IF_ERROR(services_.store->PutPod(changed));
  record_ = std::move(changed);
  return absl::OkStatus();
}

std::shared_ptr<Container> Pod::FindContainer(const ContainerId& id) const {
  absl::MutexLock lock(&mutex_);
  const auto found = containers_.find(id);
  return found == containers_.end() ? nullptr : found->second;
}

std::vector<std::shared_ptr<Container>> Pod::containers() const {
  absl::MutexLock lock(&mutex_);
  std::vector<std::shared_ptr<Container>> all;
  for (const auto& [id, container] : containers_) all.push_back(container);
  return all;
}

absl::Status Pod::Erase(const Container& container, absl::Time deadline) {
  const absl::StatusOr<PodVm*> vm = ReadyVm();
  if (absl::IsUnavailable(vm.status())) return vm.status();
  // Of a pod that is stopped, nothing is left in a guest.
  if (vm.ok()) {
    RETURN_IF_ERROR((*vm)->vm().agent().Delete(container.id(), deadline));
    (*vm)->RemoveMounts(container.ShareMounts());
    absl::Status released;
    for (const std::string& image : container.image_hexes()) {
      released.Update((*vm)->RemoveImageUser(image, container.id(), deadline));
    }
    if (!released.ok()) {
      Log(LogLevel::kWarning, "an image is released later",
          {{"sandbox_id", id_.value()}, {"error", released.message()}});
      SettleAfter(services_.vm.settings->shrink_delay);
    }
  }
  return services_.store->DeleteContainer(container.id());
}

void Pod::AbandonCreatingLocked() {
  std::erase_if(containers_, [this](const auto& entry) {
    if (entry.second->phase() != ContainerPhase::kCreating) return false;
    abandoned_.push_back(entry.second);
    return true;
  });
}

void Pod::Abandon(std::shared_ptr<Container> container) {
  DropContainer(container->id());
  abandoned_.push_back(std::move(container));
  const absl::Status erased =
      EraseAbandoned(services_.vm.clock->Now() + kEraseTime);
  if (!erased.ok()) {
    Log(LogLevel::kWarning, "what an unfinished create left is removed later",
        {{"sandbox_id", id_.value()}, {"error", erased.message()}});
  }
  SettleAfter(absl::ZeroDuration());
}

absl::Status Pod::EraseAbandoned(absl::Time deadline) {
  absl::Status first;
  std::vector<std::shared_ptr<Container>> left;
  for (std::shared_ptr<Container>& container : abandoned_) {
    const absl::Status erased = Erase(*container, deadline);
    first.Update(erased);
    if (!erased.ok()) left.push_back(std::move(container));
  }
  abandoned_ = std::move(left);
  return first;
}

absl::Status Pod::CheckReady() const {
  if (record_.state != SandboxState::kReady) {
    return absl::FailedPreconditionError(
        absl::StrCat("pod ", id_.value(), " is ", Name(record_.state)));
  }
  if (!guest_.ok()) {
    return absl::UnavailableError(absl::StrCat(
        "the guest of pod ", id_.value(),
        " has not answered since the daemon started: ", guest_.message()));
  }
  return absl::OkStatus();
}

absl::StatusOr<PodVm*> Pod::ReadyVm() {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(CheckReady());
  return vm_.get();
}

absl::StatusOr<GuestAgent*> Pod::ReadyAgent() {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(CheckReady());
  return &vm_->vm().agent();
}

void Pod::WatchExits() {
  exit_watcher_ = std::make_unique<ExitWatcher>(
      &vm_->vm().agent(),
      [this](const agent::v1::ContainerExit& exit) { OnExit(exit); },
      services_.vm.clock);
  exit_watcher_->Start();
}

void Pod::WatchVm() {
  vm_->WatchExit([weak = weak_from_this()](const VmExit& exit) {
    if (const std::shared_ptr<Pod> pod = weak.lock()) pod->OnVmExit(exit);
  });
}

void Pod::AbandonOutput() {
  if (vm_ == nullptr) return;
  vm_->vm().agent().Disconnect();
  for (const auto& container : containers()) {
    const std::shared_ptr<LogPump> pump = container->pump();
    if (pump == nullptr) continue;
    const absl::Status written =
        pump->Abandon(services_.vm.clock->Now() + kDrainTime);
    if (!written.ok()) {
      Log(LogLevel::kWarning, "the end of a container's output is late",
          {{"container_id", container->id().value()},
           {"error", written.message()}});
    }
  }
}

void Pod::StopWatching() {
  if (vm_ == nullptr) return;
  vm_->vm().agent().Disconnect();
  for (const auto& container : containers()) container->SetPump(nullptr);
  exit_watcher_.reset();
}

void Pod::OnExit(const agent::v1::ContainerExit& exit) {
  const std::shared_ptr<Container> container =
      FindContainer(ContainerId(exit.container_id()));
  // One that is still being created ends with an error of its creation.
  if (container == nullptr || !container->Counts() ||
      container->phase() == ContainerPhase::kCreating) {
    return;
  }
  // First the last lines, then the news: who sees the exit reads the log.
  if (const std::shared_ptr<LogPump> pump = container->pump()) {
    (void)pump->WaitDrained(services_.vm.clock->Now() + kDrainTime);
  }
  const absl::Time start_begun = container->start_begun();
  const absl::Status stored = RecordEnd(
      *container, ContainerEvent::kExited, [&](ContainerRecord& record) {
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
        {{"sandbox_id", id_.value()},
         {"container_id", container->id().value()},
         {"error", stored.message()}});
  }
}

void Pod::OnVmExit(const VmExit& exit) {
  const std::string reason = CleanText(exit.reason, 1024);
  // Whoever boots or stops the pod deals with the end of its VM.
  if (state() != SandboxState::kReady) return;
  Log(LogLevel::kError, "the VM has ended by itself",
      {{"sandbox_id", id_.value()}, {"reason", reason}});
  services_.vm.metrics->CountVmExit("unexpected");
  (void)Transition(SandboxEvent::kVmExited, [&](PodRecord& record) {
    record.reason = "VmExited";
    record.message = reason;
  });
  EndContainers(128 + SIGKILL, "Error",
                absl::StrCat("the pod's VM has ended: ", reason));
  ClearAwayAfter(absl::ZeroDuration());
}

void Pod::ClearAwayAfter(absl::Duration delay) {
  services_.clean_ups->Schedule(delay, [weak = weak_from_this()] {
    const std::shared_ptr<Pod> pod = weak.lock();
    if (pod == nullptr || pod->state() == SandboxState::kStopped) return;
    // Never waits: whoever has it may wait for other things than this VM.
    if (!pod->operation_lock_.LockUntil(absl::InfinitePast())) {
      pod->ClearAwayAfter(kClearAwayRetry);
      return;
    }
    const OperationHolder operation(&pod->operation_lock_);
    const absl::Status cleared =
        pod->TearDown(pod->services_.vm.clock->Now() + kCleanUpTime);
    if (!cleared.ok()) {
      Log(LogLevel::kWarning, "clean-up after a VM that ended",
          {{"sandbox_id", pod->id().value()}, {"error", cleared.message()}});
    }
  });
}

void Pod::EndContainers(int exit_code, absl::string_view reason,
                        absl::string_view message) {
  for (const auto& container : containers()) {
    if (!container->Counts()) continue;
    (void)container->Transition(
        ContainerEvent::kExited, [&](ContainerRecord& record) {
          record.exit_code = exit_code;
          record.finished_at = services_.vm.clock->Now();
          record.reason = std::string(reason);
          record.message = std::string(message);
        });
  }
  TellEvents();
}

std::string Pod::LogPathOf(const ContainerSpec& container) const {
  if (spec_.log_directory.empty() || container.log_path.empty()) return "";
  return absl::StrCat(spec_.log_directory, "/", container.log_path);
}

std::string Pod::CursorPath(const Container& container) const {
  absl::MutexLock lock(&mutex_);
  // In the pod's own tmpfs: it is of no use without the VM, and goes with it.
  return absl::StrCat(vm_->directory(), "/", container.id().value(), ".cursor");
}

absl::Status Pod::StartPump(Container& container) {
  return Pump(container, spec_.log_directory.empty()
                             ? ""
                             : container.Snapshot().spec.log_path);
}

absl::Status Pod::Pump(Container& container, const std::string& log_path) {
  ContainerLogOptions options;
  options.log_directory = spec_.log_directory;
  options.log_path = log_path;
  options.cursor_path = CursorPath(container);
  options.container_id = container.id().value();
  ASSIGN_OR_RETURN(std::unique_ptr<ContainerLog> log,
                   ContainerLog::Open(options, services_.vm.clock));
  const auto pump = std::make_shared<LogPump>(
      container.id(), &vm_->vm().agent(), std::move(log), services_.vm.clock,
      services_.vm.metrics);
  pump->Start();
  container.SetPump(pump);
  return absl::OkStatus();
}

void Pod::EndPump(Container& container) {
  if (const std::shared_ptr<LogPump> pump = container.pump()) {
    // Its stream has ended with the container; if not, it is left to itself.
    (void)pump->Stop(services_.vm.clock->Now() + kDrainTime);
  }
  container.SetPump(nullptr);
  unlink(CursorPath(container).c_str());
}

}  // namespace podvisor
