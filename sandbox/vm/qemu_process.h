#ifndef PODVISOR_SANDBOX_VM_QEMU_PROCESS_H_
#define PODVISOR_SANDBOX_VM_QEMU_PROCESS_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/process.h"
#include "sandbox/vm/process_watcher.h"
#include "sandbox/vm/vm_files.h"
#include "sandbox/vm/vm_process.h"

namespace podvisor {

// A QEMU. See VmProcess.
class QemuProcess final : public VmProcess {
 public:
  // Borrows `files`, where QEMU and its guest leave their last words, and
  // `watcher`; both outlive it.
  QemuProcess(const ProcessIdentity& qemu, const VmFiles* files,
              ProcessWatcher* watcher)
      : qemu_(qemu), files_(files), watcher_(watcher) {}
  ~QemuProcess() override;

  void WatchExit(std::function<void(const VmExit&)> on_exit) override
      ABSL_LOCKS_EXCLUDED(mutex_);
  bool Exited() const override;
  absl::Status AwaitExit(absl::Time deadline) override;
  absl::Status Kill(absl::Time deadline) override;
  absl::Status KeepThreads(const std::vector<pid_t>& threads,
                           const std::vector<CpuList>& cpus) override;

 private:
  std::string ExitReason(int wait_status) const;

  const ProcessIdentity qemu_;
  const VmFiles* const files_;
  ProcessWatcher* const watcher_;

  absl::Mutex mutex_;
  uint64_t watch_ ABSL_GUARDED_BY(mutex_) = 0;  // 0: none
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_VM_QEMU_PROCESS_H_
