#ifndef PODVISOR_SANDBOX_VM_FAKE_VM_H_
#define PODVISOR_SANDBOX_VM_FAKE_VM_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "base/unique_fd.h"
#include "guestagent/client/fake_guest_agent.h"
#include "hotplug/fake_qemu.h"
#include "sandbox/vm/vm.h"
#include "sandbox/vm/vm_launcher.h"
#include "sandbox/vm/vm_process.h"

namespace podvisor {

// The host's and the guest's half of one VM that is not there: a fake QEMU with
// a fake guest. Outlives the Vm objects that look at it, as a QEMU outlives the
// daemon. Thread-safe.
class FakeMachine {
 public:
  // `clock` outlives it.
  FakeMachine(const VmSpec& spec, FakeClock* clock, FakeGuestOptions guest,
              QemuFaults faults);

  const VmRecord& record() const { return record_; }
  FakeGuestAgent& guest() { return guest_; }
  FakeQemu& qemu() { return qemu_; }
  bool alive() const { return qemu_.alive(); }
  // Of each vCPU, as last pinned; empty: never.
  std::vector<CpuList> affinity() const ABSL_LOCKS_EXCLUDED(mutex_);
  void SetAffinity(std::vector<CpuList> affinity) ABSL_LOCKS_EXCLUDED(mutex_);
  // The CPUs of the host on which its threads may run; empty: on any.
  void SetHostCpus(CpuList cpus) ABSL_LOCKS_EXCLUDED(mutex_);
  // As the kernel: FailedPrecondition where one of them is left with none.
  absl::Status Pin(const std::vector<CpuList>& affinity)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // QEMU ends, or has ended at a fault of its own: connections break, the agent
  // is gone, the watcher is told. Call it without a lock that the watcher
  // needs.
  void Die(const std::string& reason) ABSL_LOCKS_EXCLUDED(mutex_);

  // The callback of VmProcess; null: of none any more.
  void Watch(std::function<void(const VmExit&)> on_exit)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // QEMU's end of virtiofsd's socket, without which that ends.
  void SetVirtiofsd(UniqueFd socket) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  VmRecord record_;
  FakeGuestAgent guest_;
  FakeQemu qemu_;
  mutable absl::Mutex mutex_;
  std::vector<CpuList> affinity_ ABSL_GUARDED_BY(mutex_);
  CpuList host_cpus_ ABSL_GUARDED_BY(mutex_);
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  UniqueFd virtiofsd_ ABSL_GUARDED_BY(mutex_);
  VmExit exit_ ABSL_GUARDED_BY(mutex_);
  std::function<void(const VmExit&)> on_exit_ ABSL_GUARDED_BY(mutex_);
};

// The process of a FakeMachine. Unlike the real one it calls the exit watcher
// from the thread that ends the machine, or from WatchExit() itself; and a
// guest that is waited for has always powered off.
class FakeVmProcess final : public VmProcess {
 public:
  explicit FakeVmProcess(std::shared_ptr<FakeMachine> machine)
      : machine_(std::move(machine)) {}
  ~FakeVmProcess() override { machine_->Watch(nullptr); }

  void WatchExit(std::function<void(const VmExit&)> on_exit) override {
    machine_->Watch(std::move(on_exit));
  }
  bool Exited() const override { return !machine_->alive(); }
  absl::Status AwaitExit(absl::Time deadline) override;
  absl::Status Kill(absl::Time deadline) override;
  absl::Status KeepThreads(const std::vector<pid_t>& threads,
                           const std::vector<CpuList>& cpus) override;

 private:
  const std::shared_ptr<FakeMachine> machine_;
};

// A Vm on a FakeMachine.
std::unique_ptr<Vm> MakeFakeVm(std::shared_ptr<FakeMachine> machine,
                               FakeClock* clock);

// Misbehaviour that real launches show.
struct LaunchFaults {
  absl::Status launch;     // not OK: Launch() fails after the record
  absl::Status adopt;      // not OK: Adopt() fails with it
  absl::Status sweep;      // not OK: Sweep() fails with it, QEMU lives
  FakeGuestOptions guest;  // of the VMs launched from now on
  QemuFaults qemu;
};

// Thread-safe. The machines stay when their Vm is gone, so that Adopt() finds
// them.
class FakeVmLauncher final : public VmLauncher {
 public:
  explicit FakeVmLauncher(FakeClock* clock) : clock_(clock) {}

  absl::StatusOr<std::unique_ptr<Vm>> Launch(const VmSpec& spec,
                                             const VmRecorder& recorder,
                                             absl::Time deadline) override;
  absl::StatusOr<std::unique_ptr<Vm>> Adopt(const VmSpec& spec,
                                            const VmRecord& record,
                                            absl::Time deadline) override;
  absl::Status Sweep(const PodId& id, absl::Time deadline) override;

  void SetFaults(const LaunchFaults& faults) ABSL_LOCKS_EXCLUDED(mutex_);
  // Null when there was never one.
  std::shared_ptr<FakeMachine> machine(const PodId& id)
      ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<VmSpec> launched() ABSL_LOCKS_EXCLUDED(mutex_);
  int running() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  FakeClock* const clock_;
  absl::Mutex mutex_;
  LaunchFaults faults_ ABSL_GUARDED_BY(mutex_);
  std::map<PodId, std::shared_ptr<FakeMachine>> machines_
      ABSL_GUARDED_BY(mutex_);
  std::vector<VmSpec> launched_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_VM_FAKE_VM_H_
