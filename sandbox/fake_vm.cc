#include "sandbox/fake_vm.h"

#include <fcntl.h>

#include <atomic>
#include <utility>

#include "base/status_macros.h"
#include "sandbox/vcpu_affinity.h"

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

FakeVm::FakeVm(std::shared_ptr<FakeMachine> machine, FakeClock* clock)
    : machine_(std::move(machine)),
      qmp_(machine_->qemu().Connect()),
      devices_(qmp_.get(), clock, machine_->record().bridges) {}

FakeVm::~FakeVm() {
  absl::MutexLock lock(&machine_->mutex_);
  machine_->on_exit_ = nullptr;
}

BootTimings FakeVm::boot_timings() const {
  return {absl::Milliseconds(20), absl::Milliseconds(1500), 1};
}

absl::Status FakeVm::AttachDisk(const DiskAttachment& disk,
                                absl::Time deadline) {
  return devices_.AttachDisk(disk, deadline);
}

absl::Status FakeVm::DetachDisk(absl::string_view serial, absl::Time deadline) {
  return devices_.DetachDisk(serial, deadline);
}

absl::StatusOr<bool> FakeVm::HasShare(absl::Time deadline) {
  return devices_.HasShare(deadline);
}

absl::Status FakeVm::AttachShare(UniqueFd virtiofsd, absl::string_view tag,
                                 absl::Time deadline) {
  // QEMU holds the socket, without which virtiofsd ends.
  UniqueFd held(fcntl(virtiofsd.get(), F_DUPFD_CLOEXEC, 0));
  RETURN_IF_ERROR(devices_.AttachShare(std::move(virtiofsd), tag, deadline));
  absl::MutexLock lock(&machine_->mutex_);
  machine_->virtiofsd_ = std::move(held);
  return absl::OkStatus();
}

absl::Status FakeVm::DetachShare(absl::Time deadline) {
  RETURN_IF_ERROR(devices_.DetachShare(deadline));
  absl::MutexLock lock(&machine_->mutex_);
  machine_->virtiofsd_.Reset();
  return absl::OkStatus();
}

absl::Status FakeVm::AttachNic(const NicAttachment& nic, absl::Time deadline) {
  return devices_.AttachNic(nic, deadline);
}

absl::Status FakeVm::PinVcpus(const CpuList& host_cpus, int online,
                              absl::Time deadline) {
  ASSIGN_OR_RETURN(const std::vector<pid_t> threads,
                   QueryVcpuThreads(*qmp_, deadline));
  absl::MutexLock lock(&machine_->mutex_);
  machine_->affinity_ =
      DecideVcpuAffinity(host_cpus, static_cast<int>(threads.size()), online);
  return absl::OkStatus();
}

void FakeVm::WatchExit(std::function<void(const VmExit&)> on_exit) {
  machine_->Watch(std::move(on_exit));
}

absl::Status FakeVm::PowerOff(absl::Time deadline) {
  if (Exited()) return absl::OkStatus();
  RETURN_IF_ERROR(machine_->guest().PowerOff(deadline));
  machine_->Die("the guest powered off");
  return absl::OkStatus();
}

absl::Status FakeVm::Kill(absl::Time) {
  machine_->Die("QEMU was killed by signal 9");
  return absl::OkStatus();
}

absl::StatusOr<std::string> FakeVm::ConsoleTail() const {
  return std::string("console of a fake VM\n");
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
  return std::make_unique<FakeVm>(std::move(machine), clock_);
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
  return std::make_unique<FakeVm>(found, clock_);
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
