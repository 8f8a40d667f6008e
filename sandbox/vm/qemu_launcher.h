#ifndef PODVISOR_SANDBOX_VM_QEMU_LAUNCHER_H_
#define PODVISOR_SANDBOX_VM_QEMU_LAUNCHER_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "sandbox/vm/boot_gate.h"
#include "sandbox/vm/process_watcher.h"
#include "sandbox/vm/vm_launcher.h"

namespace podvisor {

struct QemuLauncherOptions {
  int max_attempts = 3;
  // One boot. Many times what a busy host needs (2 s when idle, under TCG).
  absl::Duration boot_timeout = absl::Seconds(60);
  // From the start of the process to the QMP greeting.
  absl::Duration qmp_timeout = absl::Seconds(20);
};

// Whether QEMU, kernel and initrd are where the jail will find them. Errors:
// FailedPrecondition, naming the one that is not.
absl::Status CheckVmParts(const VmSpec& spec);

// VMs as jailed QEMU processes. See VmLauncher.
class QemuLauncher final : public VmLauncher {
 public:
  // Borrows all three, which outlive it and every Vm that it makes.
  QemuLauncher(Clock* clock, BootGate* gate, ProcessWatcher* watcher,
               QemuLauncherOptions options = QemuLauncherOptions());

  absl::StatusOr<std::unique_ptr<Vm>> Launch(const VmSpec& spec,
                                             const VmRecorder& recorder,
                                             absl::Time deadline) override;
  absl::StatusOr<std::unique_ptr<Vm>> Adopt(const VmSpec& spec,
                                            const VmRecord& record,
                                            absl::Time deadline) override;
  absl::Status Sweep(const PodId& id, absl::Time deadline) override;

 private:
  absl::StatusOr<std::unique_ptr<Vm>> BootOnce(const VmSpec& spec,
                                               const VmRecorder& recorder,
                                               int attempt,
                                               absl::Time deadline);

  Clock* const clock_;
  BootGate* const gate_;
  ProcessWatcher* const watcher_;
  const QemuLauncherOptions options_;
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_VM_QEMU_LAUNCHER_H_
