#ifndef PODVISOR_SANDBOX_QEMU_VM_H_
#define PODVISOR_SANDBOX_QEMU_VM_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "sandbox/process_watcher.h"
#include "sandbox/vm.h"
#include "sandbox/vm_devices.h"
#include "sandbox/vm_files.h"

namespace podvisor {

// What a Vm of QEMU is made of; the launcher puts it together.
struct QemuVmParts {
  VmRecord record;
  BootTimings timings;
  std::unique_ptr<VmFiles> files;
  std::unique_ptr<QmpClient> qmp;
  std::unique_ptr<GuestAgent> agent;
};

// A Vm that is a QEMU process. See Vm.
class QemuVm final : public Vm {
 public:
  // Borrows clock and watcher, which outlive it.
  QemuVm(QemuVmParts parts, Clock* clock, ProcessWatcher* watcher);
  ~QemuVm() override;

  const VmRecord& record() const override { return parts_.record; }
  BootTimings boot_timings() const override { return parts_.timings; }
  QmpClient& qmp() override { return *parts_.qmp; }
  GuestAgent& agent() override { return *parts_.agent; }

  absl::Status AttachDisk(const DiskAttachment& disk,
                          absl::Time deadline) override;
  absl::Status DetachDisk(absl::string_view serial,
                          absl::Time deadline) override;
  absl::StatusOr<bool> HasShare(absl::Time deadline) override;
  absl::Status AttachShare(UniqueFd virtiofsd, absl::string_view tag,
                           absl::Time deadline) override;
  absl::Status DetachShare(absl::Time deadline) override;
  absl::Status AttachNic(const NicAttachment& nic,
                         absl::Time deadline) override;

  absl::Status PinVcpus(const CpuList& host_cpus, int online,
                        absl::Time deadline) override;

  void WatchExit(std::function<void(const VmExit&)> on_exit) override
      ABSL_LOCKS_EXCLUDED(mutex_);
  bool Exited() const override;
  absl::Status PowerOff(absl::Time deadline) override;
  absl::Status Kill(absl::Time deadline) override;
  absl::StatusOr<std::string> ConsoleTail() const override;
  void TrimConsole() override;

 private:
  std::string ExitReason(int wait_status) const;

  const QemuVmParts parts_;
  ProcessWatcher* const watcher_;
  VmDevices devices_;

  absl::Mutex mutex_;
  uint64_t watch_ ABSL_GUARDED_BY(mutex_) = 0;  // 0: none
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_QEMU_VM_H_
