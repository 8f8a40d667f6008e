#include "sandbox/vm/qemu_process.h"

#include <sys/wait.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "sandbox/vm/vcpu_affinity.h"

namespace podvisor {
namespace {

constexpr size_t kConsoleTail = 64 << 10;

}  // namespace

QemuProcess::~QemuProcess() {
  uint64_t watch = 0;
  {
    absl::MutexLock lock(&mutex_);
    watch = watch_;
  }
  if (watch != 0) watcher_->Unwatch(watch);
}

void QemuProcess::WatchExit(std::function<void(const VmExit&)> on_exit) {
  uint64_t before = 0;
  {
    absl::MutexLock lock(&mutex_);
    before = std::exchange(watch_, 0);
  }
  if (before != 0) watcher_->Unwatch(before);
  const absl::StatusOr<uint64_t> watch =
      watcher_->Watch(qemu_, [this, on_exit = std::move(on_exit)](int status) {
        // A copy: the callback may destroy this object.
        const VmExit exit = {ExitReason(status)};
        on_exit(exit);
      });
  if (!watch.ok()) {
    // Out of descriptors. The pod's next call finds out that QEMU is gone.
    Log(LogLevel::kError, "a VM's end will not be noticed at once",
        {{"error", watch.status().message()}});
    return;
  }
  absl::MutexLock lock(&mutex_);
  watch_ = *watch;
}

bool QemuProcess::Exited() const { return !IsAlive(qemu_); }

absl::Status QemuProcess::AwaitExit(absl::Time deadline) {
  return WaitProcess(qemu_, deadline).status();
}

absl::Status QemuProcess::Kill(absl::Time deadline) {
  return Annotate(KillGroup(qemu_, deadline), "VM: kill QEMU");
}

absl::Status QemuProcess::KeepThreads(const std::vector<pid_t>& threads,
                                      const std::vector<CpuList>& cpus) {
  for (size_t i = 0; i < threads.size(); ++i) {
    RETURN_IF_ERROR(KeepThreadTo(qemu_, threads[i], cpus[i]));
  }
  return absl::OkStatus();
}

// The exit code alone tells little: QEMU ends with 0 also when the guest's
// kernel panicked, and a daemon that adopted the VM never learns it.
std::string QemuProcess::ExitReason(int wait_status) const {
  const std::string panic =
      PanicLine(files_->ConsoleTail(kConsoleTail).value_or(""));
  if (!panic.empty()) return absl::StrCat("the guest panicked: ", panic);
  if (WIFSIGNALED(wait_status)) {
    return absl::StrCat("QEMU was killed by signal ", WTERMSIG(wait_status));
  }
  const std::string log =
      LastLines(files_->QemuLogTail(1024).value_or(""), 512);
  if (WEXITSTATUS(wait_status) != 0) {
    return absl::StrCat("QEMU ended with exit code ", WEXITSTATUS(wait_status),
                        log.empty() ? "" : ": ", log);
  }
  return "the VM ended: the guest powered off, or QEMU was ended from outside";
}

}  // namespace podvisor
