#include "sandbox/pod/pod.h"

#include <algorithm>
#include <csignal>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clean_text.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "sandbox/parts/shown_sizes.h"
#include "sandbox/record/vm_record_json.h"
#include "sandbox/vm/vm_files.h"

namespace podvisor {
namespace {

// How long a stopping guest gets to flush its file systems. The clients that
// wait for StopPodSandbox give it two seconds in all (crictl's default).
constexpr absl::Duration kPowerOffGrace = absl::Milliseconds(700);
// How long the containers of a pod that stops, and a call that still works on
// it, may take.
constexpr absl::Duration kKillTime = absl::Seconds(1);
// What a failed boot leaves is removed in time of its own.
constexpr absl::Duration kCleanUpTime = absl::Seconds(10);
// How soon a pod whose VM has ended is looked at again, where it is busy.
constexpr absl::Duration kClearAwayRetry = absl::Seconds(1);
// Soon, so that a new pod has its values, and not while it still settles.
constexpr absl::Duration kFirstSample = absl::Seconds(1);

}  // namespace

Pod::Pod(const PodServices& services, PodRecord record)
    : services_(services),
      timers_(services.timers, [this] { return weak_from_this(); }),
      clean_ups_(services.clean_ups, [this] { return weak_from_this(); }),
      operation_lock_(absl::StrCat("pod ", record.id.value())),
      stored_(services.store, std::move(record)),
      guest_(&stored_),
      network_(&stored_, services.vm.network, services.vm.clock),
      output_(&spec(), &guest_, &containers_, services.vm.clock,
              services.vm.metrics),
      settle_(services.vm.clock, &timers_, [this] { loop_.Run(); }),
      wanted_(services.vm.settings, &stored_, &containers_, services.vm.clock),
      accounting_(services.vm.settings, &stored_, &guest_),
      sampler_({.clock = services.vm.clock,
                .metrics = services.vm.metrics,
                .settings = services.vm.settings,
                .timers = &timers_,
                .pod = &stored_,
                .containers = &containers_,
                .guest = &guest_,
                .wanted = &wanted_,
                .accounting = &accounting_,
                .settle = &settle_}),
      resizer_({.settings = services.vm.settings,
                .operation_lock = &operation_lock_,
                .pod = &stored_,
                .guest = &guest_,
                .wanted = &wanted_,
                .accounting = &accounting_,
                .sampler = &sampler_,
                .settle = &settle_}),
      eraser_({.clock = services.vm.clock,
               .settings = services.vm.settings,
               .store = services.store,
               .pod = &stored_,
               .containers = &containers_,
               .guest = &guest_,
               .settle = &settle_}),
      loop_({.clock = services.vm.clock,
             .settings = services.vm.settings,
             .timers = &timers_,
             .operation_lock = &operation_lock_,
             .pod = &stored_,
             .containers = &containers_,
             .guest = &guest_,
             .wanted = &wanted_,
             .accounting = &accounting_,
             .sampler = &sampler_,
             .settle = &settle_,
             .resizer = &resizer_,
             .eraser = &eraser_}),
      news_(services.events, services.vm.clock, &containers_,
            [this] { return Snapshot(); }),
      ends_({.clock = services.vm.clock,
             .settings = services.vm.settings,
             .pod = &stored_,
             .containers = &containers_,
             .guest = &guest_,
             .output = &output_,
             .wanted = &wanted_,
             .settle = &settle_,
             .news = &news_}) {}

Pod::~Pod() { ends_.StopWatching(); }

PodSnapshot Pod::Snapshot() const {
  PodRecord record = stored_.record();
  PodSnapshot snapshot;
  snapshot.id = record.id;
  snapshot.spec = std::move(record.spec);
  snapshot.state = record.state;
  snapshot.created_at = record.created_at;
  snapshot.ips = std::move(record.ips);
  const agent::v1::HelloResponse hello = guest_.hello();
  snapshot.agent_version = hello.agent_version();
  snapshot.kernel_release = hello.kernel_release();
  snapshot.last_error = std::move(record.message);
  snapshot.account = accounting_.account();
  snapshot.usage = sampler_.usage();
  if (PodVm* const pod_vm = guest_.vm()) {
    const VmRecord vm = pod_vm->record();
    snapshot.vm = ShownSizes(stored_, wanted_, *pod_vm);
    // What a VM that has ended was doing before is no news of it.
    if (snapshot.state == SandboxState::kReady) {
      if (snapshot.last_error.empty()) {
        snapshot.last_error = pod_vm->sizer().last_error();
      }
      if (snapshot.last_error.empty()) snapshot.last_error = loop_.last_error();
      if (snapshot.last_error.empty()) {
        snapshot.last_error = std::string(guest_.CheckAnswers().message());
      }
    }
    snapshot.accelerator = vm.accelerator == Accelerator::kKvm ? "kvm" : "tcg";
    snapshot.boot_time = pod_vm->vm().boot_timings().hello;
    if (record.state == SandboxState::kReady) snapshot.vmm_pid = vm.qemu.pid;
    snapshot.console_path =
        absl::StrCat(pod_vm->directory(), "/", VmFiles::kConsole);
    snapshot.cgroup_path = pod_vm->cgroup().path();
  }
  return snapshot;
}

VmRecorder Pod::Recorder() {
  return [this](const VmRecord& vm) {
    return stored_.Change(
        [&](PodRecord& record) { record.vm_json = EncodeVmRecord(vm); });
  };
}

absl::Status Pod::BootVm(uid_t uid, absl::Time deadline) {
  ASSIGN_OR_RETURN(const VmLimits limits,
                   LimitsOf(*services_.vm.settings, spec().size));
  if (spec().size.max_vcpus.value_or(0) > limits.max_vcpus) {
    Log(LogLevel::kWarning, "a pod asks for more vCPUs than a VM may have here",
        {{"sandbox_id", id().value()},
         {"wanted", absl::StrCat(*spec().size.max_vcpus)},
         {"max_vcpus", absl::StrCat(limits.max_vcpus)}});
  }
  ASSIGN_OR_RETURN(const VmTarget target, resizer_.PlanBoot(limits));
  ASSIGN_OR_RETURN(std::unique_ptr<PodVm> vm,
                   PodVm::Boot(services_.vm, id(), spec(), uid, Recorder(),
                               network_.Recorder(), deadline));
  const absl::StatusOr<agent::v1::HelloResponse> hello =
      vm->vm().agent().Hello(deadline);
  if (hello.ok()) guest_.SetHello(*hello);
  guest_.SetVm(std::move(vm), absl::OkStatus());
  RETURN_IF_ERROR(hello.status());
  return resizer_.GrowAfterBoot(target, deadline);
}

absl::Status Pod::Boot(uid_t uid, absl::Time deadline) {
  if (!operation_lock_.LockUntil(deadline)) return operation_lock_.Busy();
  const OperationHolder operation(&operation_lock_);
  absl::Status status = BootVm(uid, deadline);
  // A stop that came meanwhile has made this transition illegal.
  if (status.ok()) status = stored_.Transition(SandboxEvent::kAgentReady);
  if (!status.ok()) {
    (void)stored_.Transition(SandboxEvent::kSetupFailed);
    const absl::Status torn_down =
        TearDown(services_.vm.clock->Now() + kCleanUpTime);
    if (!torn_down.ok()) {
      Log(LogLevel::kError, "what a failed boot left behind is still there",
          {{"sandbox_id", id().value()}, {"error", torn_down.message()}});
    }
    return status;
  }
  news_.Tell();
  ends_.Watch();
  WatchVm();
  sampler_.Publish();
  sampler_.Begin(kFirstSample);
  const BootTimings boot = guest_.vm()->vm().boot_timings();
  services_.vm.metrics->ObserveBoot("qmp", boot.qmp);
  services_.vm.metrics->ObserveBoot("hello", boot.hello);
  return absl::OkStatus();
}

absl::Status Pod::Stop(absl::Time deadline) {
  if (state() == SandboxState::kStopped) return absl::OkStatus();
  RETURN_IF_ERROR(stored_.Transition(SandboxEvent::kStopRequested));
  // Without the operation lock: whoever holds it may be waiting for just
  // these containers.
  const absl::Time soon =
      std::min(deadline, services_.vm.clock->Now() + kKillTime);
  ends_.KillAll(soon);
  if (!operation_lock_.LockUntil(soon)) {
    AbortOperation(deadline);
    if (!operation_lock_.LockUntil(deadline)) return operation_lock_.Busy();
  }
  const OperationHolder operation(&operation_lock_);
  if (state() == SandboxState::kStopped) return absl::OkStatus();
  return TearDown(deadline);
}

void Pod::AbortOperation(absl::Time deadline) {
  PodVm* const vm = guest_.vm();
  if (vm == nullptr) return;
  Log(LogLevel::kWarning, "a pod is stopped while a call works on it",
      {{"sandbox_id", id().value()}});
  const absl::Status aborted = vm->Abort(deadline);
  if (!aborted.ok()) {
    Log(LogLevel::kError, "the VM of a pod that is stopped cannot be killed",
        {{"sandbox_id", id().value()}, {"error", aborted.message()}});
  }
}

absl::Status Pod::TearDown(absl::Time deadline) {
  if (guest_.vm() != nullptr) {
    RETURN_IF_ERROR(guest_.vm()->TearDown(kPowerOffGrace, deadline));
  } else {
    RETURN_IF_ERROR(PodVm::Sweep(services_.vm, id(), spec(), deadline));
  }
  // Whatever the network does now, nothing of the pod runs any more.
  output_.AbandonAll();
  ends_.StopWatching();
  sampler_.Withdraw();
  ends_.RecordAll(128 + SIGKILL, "Error", "the pod was stopped");
  ASSIGN_OR_RETURN(const NetworkMembership::Leaving leaving,
                   network_.Leave(deadline));
  const bool left = leaving == NetworkMembership::Leaving::kLeft;
  RETURN_IF_ERROR(
      stored_.Transition(SandboxEvent::kTornDown, [&](PodRecord& record) {
        record.finished_at = services_.vm.clock->Now();
        record.vm_json.clear();
        if (left) record.network_json.clear();
        record.ips.clear();
      }));
  news_.Tell();
  return absl::OkStatus();
}

absl::Status Pod::Forget() {
  network_.LeaveAtLast();
  return stored_.Forget();
}

void Pod::WatchVm() {
  guest_.vm()->WatchExit([weak = weak_from_this()](const VmExit& exit) {
    if (const std::shared_ptr<Pod> pod = weak.lock()) pod->OnVmExit(exit);
  });
}

void Pod::OnVmExit(const VmExit& exit) {
  const std::string reason = CleanText(exit.reason, 1024);
  // Whoever boots or stops the pod deals with the end of its VM.
  if (state() != SandboxState::kReady) return;
  Log(LogLevel::kError, "the VM has ended by itself",
      {{"sandbox_id", id().value()}, {"reason", reason}});
  services_.vm.metrics->CountVmExit("unexpected");
  (void)stored_.Transition(SandboxEvent::kVmExited, [&](PodRecord& record) {
    record.reason = "VmExited";
    record.message = reason;
  });
  ends_.RecordAll(128 + SIGKILL, "Error",
                  absl::StrCat("the pod's VM has ended: ", reason));
  ClearAwayAfter(absl::ZeroDuration());
}

void Pod::ClearAwayAfter(absl::Duration delay) {
  clean_ups_.After(delay, [this] {
    if (state() == SandboxState::kStopped) return;
    // Never waits: whoever has it may wait for other things than this VM.
    if (!operation_lock_.LockUntil(absl::InfinitePast())) {
      ClearAwayAfter(kClearAwayRetry);
      return;
    }
    const OperationHolder operation(&operation_lock_);
    const absl::Status cleared =
        TearDown(services_.vm.clock->Now() + kCleanUpTime);
    if (!cleared.ok()) {
      Log(LogLevel::kWarning, "clean-up after a VM that ended",
          {{"sandbox_id", id().value()}, {"error", cleared.message()}});
    }
  });
}

}  // namespace podvisor
