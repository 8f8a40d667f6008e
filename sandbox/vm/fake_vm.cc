#include "sandbox/vm/fake_vm.h"

#include <fcntl.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "absl/strings/match.h"
#include "base/status_macros.h"

namespace podvisor {
namespace {

// Above every pid that Linux gives: nobody can mistake it for a process.
ProcessIdentity NoProcess() {
  static std::atomic<int> next = 1 << 23;
  return {next++, 1};
}

FakeQemuOptions QemuOptions(const VmSpec& spec, const QemuFaults& faults) {
  FakeQemuOptions options;
  options.boot_vcpus = spec.boot_vcpus;
  options.max_vcpus = spec.max_vcpus;
  options.faults = faults;
  return options;
}

FakeGuestOptions GuestOptions(const VmSpec& spec, FakeClock* clock,
                              FakeGuestOptions options) {
  options.clock = clock;
  options.boot_cpus = spec.boot_vcpus;
  options.boot_memory_bytes = spec.boot_memory_bytes - (int64_t{16} << 20);
  return options;
}

// A FakeQemu knows that a descriptor came with a command; this keeps that of
// the share, as QEMU does from `getfd` to the end of the backend made of it.
class HoldingQmpClient final : public QmpClient {
 public:
  explicit HoldingQmpClient(std::shared_ptr<FakeMachine> machine)
      : machine_(std::move(machine)), qmp_(machine_->qemu().Connect()) {}

  absl::StatusOr<std::string> Execute(absl::string_view command,
                                      absl::string_view arguments_json,
                                      absl::Time deadline) override {
    absl::StatusOr<std::string> result =
        qmp_->Execute(command, arguments_json, deadline);
    const bool ends = command == "closefd" || command == "chardev-remove";
    if (result.ok() && ends && IsOfShare(arguments_json)) {
      machine_->SetVirtiofsd(UniqueFd());
    }
    return result;
  }
  absl::StatusOr<std::string> ExecuteWithFd(absl::string_view command,
                                            absl::string_view arguments_json,
                                            int fd,
                                            absl::Time deadline) override {
    absl::StatusOr<std::string> result =
        qmp_->ExecuteWithFd(command, arguments_json, fd, deadline);
    if (result.ok() && IsOfShare(arguments_json)) {
      machine_->SetVirtiofsd(UniqueFd(fcntl(fd, F_DUPFD_CLOEXEC, 0)));
    }
    return result;
  }
  std::unique_ptr<QmpSubscription> Subscribe(
      std::vector<std::string> event_names) override {
    return qmp_->Subscribe(std::move(event_names));
  }

 private:
  static bool IsOfShare(absl::string_view arguments_json) {
    return absl::StrContains(arguments_json, "\"share-");
  }

  const std::shared_ptr<FakeMachine> machine_;
  const std::unique_ptr<QmpClient> qmp_;
};

}  // namespace

FakeMachine::FakeMachine(const VmSpec& spec, FakeClock* clock,
                         FakeGuestOptions guest, QemuFaults faults)
    : guest_(GuestOptions(spec, clock, std::move(guest))),
      qemu_(QemuOptions(spec, faults), &guest_, clock) {
  record_.qemu = NoProcess();
  record_.agent_secret_hex = std::string(32, '0');
  record_.uid = spec.uid;
  record_.boot_vcpus = spec.boot_vcpus;
  record_.max_vcpus = spec.max_vcpus;
  record_.boot_memory_bytes = spec.boot_memory_bytes;
  record_.max_memory_bytes = spec.max_memory_bytes;
  record_.memory_device = spec.memory_device;
  record_.vcpu_unplug = spec.vcpu_unplug;
  record_.memory_slots = spec.memory_slots;
  record_.bridges = spec.bridges;
  record_.accelerator = spec.accelerator;
}

void FakeMachine::Die(const std::string& reason) {
  std::function<void(const VmExit&)> on_exit;
  VmExit exit;
  {
    absl::MutexLock lock(&mutex_);
    if (std::exchange(ended_, true)) return;
    qemu_.Die();
    GuestFaults faults;
    faults.agent_gone = true;
    guest_.SetFaults(faults);
    guest_.BreakConnection();
    virtiofsd_.Reset();
    exit_ = {reason};
    exit = exit_;
    on_exit = std::exchange(on_exit_, nullptr);
  }
  if (on_exit) on_exit(exit);
}

std::vector<CpuList> FakeMachine::affinity() const {
  absl::MutexLock lock(&mutex_);
  return affinity_;
}

void FakeMachine::SetAffinity(std::vector<CpuList> affinity) {
  absl::MutexLock lock(&mutex_);
  affinity_ = std::move(affinity);
}

void FakeMachine::Watch(std::function<void(const VmExit&)> on_exit) {
  VmExit exit;
  {
    absl::MutexLock lock(&mutex_);
    if (!ended_) {
      on_exit_ = std::move(on_exit);
      return;
    }
    exit = exit_;
  }
  if (on_exit) on_exit(exit);
}

void FakeMachine::SetHostCpus(CpuList cpus) {
  absl::MutexLock lock(&mutex_);
  host_cpus_ = std::move(cpus);
}

absl::Status FakeMachine::Pin(const std::vector<CpuList>& affinity) {
  absl::MutexLock lock(&mutex_);
  for (const CpuList& cpus : affinity) {
    const bool none_is_there =
        std::none_of(cpus.begin(), cpus.end(),
                     [&](int cpu) { return host_cpus_.contains(cpu); });
    if (!cpus.empty() && !host_cpus_.empty() && none_is_there) {
      return absl::FailedPreconditionError("none of the host's CPUs");
    }
  }
  affinity_ = affinity;
  return absl::OkStatus();
}

void FakeMachine::SetVirtiofsd(UniqueFd socket) {
  absl::MutexLock lock(&mutex_);
  virtiofsd_ = std::move(socket);
}

absl::Status FakeVmProcess::AwaitExit(absl::Time) {
  machine_->Die("the guest powered off");
  return absl::OkStatus();
}

absl::Status FakeVmProcess::Kill(absl::Time) {
  machine_->Die("QEMU was killed by signal 9");
  return absl::OkStatus();
}

absl::Status FakeVmProcess::KeepThreads(const std::vector<pid_t>&,
                                        const std::vector<CpuList>& cpus) {
  return machine_->Pin(cpus);
}

std::unique_ptr<Vm> MakeFakeVm(std::shared_ptr<FakeMachine> machine,
                               FakeClock* clock) {
  VmParts parts;
  parts.record = machine->record();
  parts.timings = {absl::Milliseconds(20), absl::Milliseconds(1500), 1};
  parts.qmp = std::make_unique<HoldingQmpClient>(machine);
  parts.agent = std::shared_ptr<GuestAgent>(machine, &machine->guest());
  parts.process = std::make_unique<FakeVmProcess>(std::move(machine));
  return std::make_unique<Vm>(std::move(parts), clock);
}

absl::StatusOr<std::unique_ptr<Vm>> FakeVmLauncher::Launch(
    const VmSpec& spec, const VmRecorder& recorder, absl::Time) {
  std::shared_ptr<FakeMachine> machine;
  LaunchFaults faults;
  {
    absl::MutexLock lock(&mutex_);
    faults = faults_;
    machine =
        std::make_shared<FakeMachine>(spec, clock_, faults.guest, faults.qemu);
    machines_[spec.id] = machine;
    launched_.push_back(spec);
  }
  absl::Status status = recorder(machine->record());
  status.Update(faults.launch);
  if (!status.ok()) {
    machine->Die("the launch failed");
    return status;
  }
  return MakeFakeVm(std::move(machine), clock_);
}

absl::StatusOr<std::unique_ptr<Vm>> FakeVmLauncher::Adopt(
    const VmSpec& spec, const VmRecord& record, absl::Time) {
  const std::shared_ptr<FakeMachine> found = machine(spec.id);
  absl::MutexLock lock(&mutex_);
  if (found == nullptr || !found->alive() ||
      found->record().qemu != record.qemu) {
    return absl::NotFoundError("QEMU is gone");
  }
  if (!faults_.adopt.ok()) return faults_.adopt;
  found->guest().Reconnect();
  return MakeFakeVm(found, clock_);
}

absl::Status FakeVmLauncher::Sweep(const PodId& id, absl::Time) {
  const std::shared_ptr<FakeMachine> found = machine(id);
  {
    absl::MutexLock lock(&mutex_);
    if (!faults_.sweep.ok()) return faults_.sweep;
  }
  if (found != nullptr) found->Die("swept");
  return absl::OkStatus();
}

void FakeVmLauncher::SetFaults(const LaunchFaults& faults) {
  absl::MutexLock lock(&mutex_);
  faults_ = faults;
}

std::shared_ptr<FakeMachine> FakeVmLauncher::machine(const PodId& id) {
  absl::MutexLock lock(&mutex_);
  const auto found = machines_.find(id);
  return found == machines_.end() ? nullptr : found->second;
}

std::vector<VmSpec> FakeVmLauncher::launched() {
  absl::MutexLock lock(&mutex_);
  return launched_;
}

int FakeVmLauncher::running() {
  absl::MutexLock lock(&mutex_);
  int count = 0;
  for (const auto& [id, machine] : machines_) count += machine->alive();
  return count;
}

}  // namespace podvisor
