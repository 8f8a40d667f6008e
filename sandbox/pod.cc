#include "sandbox/pod.h"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clean_text.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "hotplug/qemu_inventory.h"
#include "sandbox/pod_sample.h"
#include "sandbox/vm_files.h"
#include "sandbox/vm_record_json.h"

namespace podvisor {
namespace {

// How long a stopping guest gets to flush its file systems. The clients that
// wait for StopPodSandbox give it two seconds in all (crictl's default).
constexpr absl::Duration kPowerOffGrace = absl::Milliseconds(700);
// How long the last output of a container that has ended may take.
constexpr absl::Duration kDrainTime = absl::Milliseconds(500);
// What a failed boot leaves is removed in time of its own.
constexpr absl::Duration kCleanUpTime = absl::Seconds(10);
// Soon, so that a new pod has its values, and not while it still settles.
constexpr absl::Duration kFirstSample = absl::Seconds(1);
constexpr absl::Duration kSampleTimeout = absl::Seconds(2);

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
      record_(std::move(record)) {}

Pod::~Pod() {
  absl::MutexLock lock(&operation_mutex_);
  StopWatching();
}

PodSnapshot Pod::Snapshot() const {
  absl::MutexLock lock(&mutex_);
  PodSnapshot snapshot;
  snapshot.id = id_;
  snapshot.spec = record_.spec;
  snapshot.state = record_.state;
  snapshot.created_at = record_.created_at;
  snapshot.agent_version = hello_.agent_version();
  snapshot.kernel_release = hello_.kernel_release();
  snapshot.last_error = record_.message;
  if (vm_ != nullptr) {
    const VmRecord vm = vm_->record();
    snapshot.vm = vm_->sizer().sizes();
    if (snapshot.last_error.empty()) {
      snapshot.last_error = vm_->sizer().last_error();
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
  RETURN_IF_ERROR(services_.store->PutPod(changed));
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

absl::Status Pod::Boot(uid_t uid, absl::Time deadline) {
  absl::MutexLock operation(&operation_mutex_);
  absl::StatusOr<std::unique_ptr<PodVm>> vm =
      PodVm::Boot(services_.vm, id_, spec_, uid, Recorder(), deadline);
  absl::Status status = vm.status();
  if (status.ok()) {
    const absl::StatusOr<agent::v1::HelloResponse> hello =
        (*vm)->vm().agent().Hello(deadline);
    absl::MutexLock lock(&mutex_);
    vm_ = *std::move(vm);
    if (hello.ok()) hello_ = *hello;
    status = hello.status();
  }
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
  StartWatching();
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
  GuestAgent* agent = nullptr;
  {
    absl::MutexLock lock(&mutex_);
    if (vm_ != nullptr && !vm_->vm().Exited()) agent = &vm_->vm().agent();
  }
  if (agent != nullptr) {
    const absl::Time soon =
        std::min(deadline, services_.vm.clock->Now() + absl::Seconds(1));
    for (const auto& container : containers()) {
      if (container->phase() == ContainerPhase::kRunning) {
        (void)agent->Signal(container->id(), SIGKILL, true, soon);
      }
    }
    for (const auto& container : containers()) {
      if (container->phase() == ContainerPhase::kRunning) {
        container->AwaitExit(soon);
      }
    }
  }
  absl::MutexLock operation(&operation_mutex_);
  if (state() == SandboxState::kStopped) return absl::OkStatus();
  return TearDown(deadline);
}

absl::Status Pod::TearDown(absl::Time deadline) {
  if (vm_ != nullptr) {
    RETURN_IF_ERROR(vm_->TearDown(kPowerOffGrace, deadline));
  } else {
    RETURN_IF_ERROR(PodVm::Sweep(services_.vm, id_, spec_, deadline));
  }
  StopWatching();
  services_.vm.metrics->RemoveVm(id_);
  EndContainers("Error", "the pod was stopped");
  return Transition(SandboxEvent::kTornDown, [this](PodRecord& record) {
    record.finished_at = services_.vm.clock->Now();
    record.vm_json.clear();
  });
}

absl::Status Pod::Forget() { return services_.store->DeletePod(id_); }

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

absl::StatusOr<PodVm*> Pod::ReadyVm() {
  const SandboxState now = state();
  if (now != SandboxState::kReady) {
    return absl::FailedPreconditionError(
        absl::StrCat("pod ", id_.value(), " is ", Name(now)));
  }
  return vm_.get();
}

absl::StatusOr<GuestAgent*> Pod::ReadyAgent() {
  absl::MutexLock lock(&mutex_);
  if (record_.state != SandboxState::kReady) {
    return absl::FailedPreconditionError(
        absl::StrCat("pod ", id_.value(), " is ", Name(record_.state)));
  }
  return &vm_->vm().agent();
}

void Pod::StartWatching() {
  Vm* const vm = &vm_->vm();
  exit_watcher_ = std::thread([this, vm] {
    // A broken connection is made anew by the next call; Cancelled is our own
    // Disconnect().
    absl::Status ended;
    while (!absl::IsCancelled(ended) && !vm->Exited()) {
      ended = vm->agent().WatchExits(
          [this](const agent::v1::ContainerExit& exit) { OnExit(exit); });
      if (absl::IsUnavailable(ended) && !vm->Exited()) {
        (void)vm->agent().Connect(services_.vm.clock->Now() + absl::Seconds(1));
      }
    }
  });
  vm_->WatchExit([weak = weak_from_this()](const VmExit& exit) {
    if (const std::shared_ptr<Pod> pod = weak.lock()) pod->OnVmExit(exit);
  });
}

void Pod::StopWatching() {
  if (vm_ == nullptr) return;
  vm_->vm().agent().Disconnect();
  for (const auto& container : containers()) container->SetPump(nullptr);
  if (exit_watcher_.joinable()) exit_watcher_.join();
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
  const absl::Status stored = container->Transition(
      ContainerEvent::kExited, [&](ContainerRecord& record) {
        record.exit_code = exit.exit_code();
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
  SettleAfter(services_.vm.settings->shrink_delay);
}

void Pod::OnVmExit(const VmExit& exit) {
  const std::string reason = CleanText(exit.reason, 1024);
  const SandboxState before = state();
  if (before == SandboxState::kStopped) return;
  if (before == SandboxState::kReady) {
    Log(LogLevel::kError, "the VM has ended by itself",
        {{"sandbox_id", id_.value()}, {"reason", reason}});
    services_.vm.metrics->CountVmExit("unexpected");
    (void)Transition(SandboxEvent::kVmExited, [&](PodRecord& record) {
      record.reason = "VmExited";
      record.message = reason;
    });
    EndContainers("Error", absl::StrCat("the pod's VM has ended: ", reason));
  }
  services_.timers->Schedule(absl::ZeroDuration(), [weak = weak_from_this()] {
    const std::shared_ptr<Pod> pod = weak.lock();
    if (pod == nullptr) return;
    const absl::Status stopped =
        pod->Stop(pod->services_.vm.clock->Now() + absl::Seconds(30));
    if (!stopped.ok()) {
      Log(LogLevel::kWarning, "clean-up after a VM that ended",
          {{"sandbox_id", pod->id().value()}, {"error", stopped.message()}});
    }
  });
}

void Pod::EndContainers(absl::string_view reason, absl::string_view message) {
  for (const auto& container : containers()) {
    if (!container->Counts()) continue;
    (void)container->Transition(
        ContainerEvent::kExited, [&](ContainerRecord& record) {
          record.exit_code = 128 + SIGKILL;
          record.finished_at = services_.vm.clock->Now();
          record.reason = std::string(reason);
          record.message = std::string(message);
        });
  }
}

absl::Status Pod::Sample(absl::Time deadline) {
  ASSIGN_OR_RETURN(GuestAgent* const agent, ReadyAgent());
  ASSIGN_OR_RETURN(const agent::v1::GetStatsResponse stats,
                   agent->Stats(deadline));
  for (const agent::v1::ContainerStats& one : stats.containers()) {
    if (const auto container = FindContainer(ContainerId(one.container_id()))) {
      container->SetUsage(UsageOf(one));
    }
  }
  const auto disks = QueryDiskBytes(vm_->vm().qmp(), deadline);
  vm_->vm().TrimConsole();
  {
    absl::MutexLock lock(&mutex_);
    sample_.sampled_at = services_.vm.clock->Now();
    AddGuestStats(stats, &sample_);
    AddHostUsage(vm_->record(), &sample_);
    if (disks.ok()) {
      disk_traffic_.Observe(*disks);
      sample_.block_read_bytes = disk_traffic_.total().read;
      sample_.block_written_bytes = disk_traffic_.total().written;
    }
  }
  PublishMetrics();
  return absl::OkStatus();
}

void Pod::SampleIfOlderThan(absl::Duration age) {
  {
    absl::MutexLock lock(&mutex_);
    if (sample_scheduled_ || record_.state != SandboxState::kReady) return;
    if (sample_.sampled_at.has_value() &&
        services_.vm.clock->Now() - *sample_.sampled_at < age) {
      return;
    }
    sample_scheduled_ = true;
  }
  services_.timers->Schedule(absl::ZeroDuration(), [weak = weak_from_this()] {
    const std::shared_ptr<Pod> pod = weak.lock();
    if (pod == nullptr) return;
    // Before the sample: what happens while it is taken wants another one.
    {
      absl::MutexLock lock(&pod->mutex_);
      pod->sample_scheduled_ = false;
    }
    (void)pod->Sample(pod->services_.vm.clock->Now() + kSampleTimeout);
  });
}

void Pod::PublishMetrics() {
  VmSnapshot snapshot;
  {
    absl::MutexLock lock(&mutex_);
    if (record_.state != SandboxState::kReady) return;
    snapshot = sample_;
    snapshot.id = id_;
    snapshot.name_space = spec_.metadata.name_space;
    snapshot.pod = spec_.metadata.name;
    snapshot.uid = spec_.metadata.uid;
    snapshot.accelerator =
        vm_->record().accelerator == Accelerator::kKvm ? "kvm" : "tcg";
    snapshot.kernel_release = hello_.kernel_release();
    snapshot.agent_version = hello_.agent_version();
    AddSizes(vm_->sizer().sizes(), &snapshot);
  }
  services_.vm.metrics->SetVm(snapshot);
}

void Pod::SampleAfter(absl::Duration delay) {
  services_.timers->Schedule(delay, [weak = weak_from_this()] {
    const std::shared_ptr<Pod> pod = weak.lock();
    if (pod == nullptr || pod->state() != SandboxState::kReady) return;
    (void)pod->Sample(pod->services_.vm.clock->Now() + kSampleTimeout);
    pod->SampleAfter(pod->services_.vm.settings->sample_interval);
  });
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
  const ContainerSnapshot snapshot = container.Snapshot();
  ContainerLogOptions options;
  options.log_directory = spec_.log_directory;
  options.log_path = spec_.log_directory.empty() ? "" : snapshot.spec.log_path;
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
    (void)pump->Abandon(services_.vm.clock->Now() + kDrainTime);
  }
  container.SetPump(nullptr);
  unlink(CursorPath(container).c_str());
}

}  // namespace podvisor
