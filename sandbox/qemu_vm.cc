#include "sandbox/qemu_vm.h"

#include <sys/wait.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "sandbox/vcpu_affinity.h"

namespace podvisor {
namespace {

constexpr size_t kConsoleTail = 64 << 10;
// A quarter of the console's room (volume/pod_directory.cc): a flood has the
// rest until the next look.
constexpr size_t kLongConsole = 1 << 20;

}  // namespace

QemuVm::QemuVm(QemuVmParts parts, Clock* clock, ProcessWatcher* watcher)
    : parts_(std::move(parts)),
      watcher_(watcher),
      devices_(parts_.qmp.get(), clock, parts_.record.bridges) {}

QemuVm::~QemuVm() {
  uint64_t watch = 0;
  {
    absl::MutexLock lock(&mutex_);
    watch = watch_;
  }
  if (watch != 0) watcher_->Unwatch(watch);
}

absl::Status QemuVm::AttachDisk(const DiskAttachment& disk,
                                absl::Time deadline) {
  return devices_.AttachDisk(disk, deadline);
}

absl::Status QemuVm::DetachDisk(absl::string_view serial, absl::Time deadline) {
  return devices_.DetachDisk(serial, deadline);
}

absl::StatusOr<bool> QemuVm::HasShare(absl::Time deadline) {
  return devices_.HasShare(deadline);
}

absl::Status QemuVm::AttachShare(UniqueFd virtiofsd, absl::string_view tag,
                                 absl::Time deadline) {
  return devices_.AttachShare(std::move(virtiofsd), tag, deadline);
}

absl::Status QemuVm::DetachShare(absl::Time deadline) {
  return devices_.DetachShare(deadline);
}

absl::Status QemuVm::AttachNic(const NicAttachment& nic, absl::Time deadline) {
  return devices_.AttachNic(nic, deadline);
}

absl::Status QemuVm::PinVcpus(const CpuList& host_cpus, int online,
                              absl::Time deadline) {
  return Annotate(PinVcpuThreads(*parts_.qmp, parts_.record.qemu, host_cpus,
                                 online, deadline),
                  "VM: vCPU affinity");
}

void QemuVm::WatchExit(std::function<void(const VmExit&)> on_exit) {
  uint64_t before = 0;
  {
    absl::MutexLock lock(&mutex_);
    before = std::exchange(watch_, 0);
  }
  if (before != 0) watcher_->Unwatch(before);
  const absl::StatusOr<uint64_t> watch = watcher_->Watch(
      parts_.record.qemu, [this, on_exit = std::move(on_exit)](int status) {
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

bool QemuVm::Exited() const { return !IsAlive(parts_.record.qemu); }

absl::Status QemuVm::PowerOff(absl::Time deadline) {
  if (Exited()) return absl::OkStatus();
  RETURN_IF_ERROR(
      Annotate(parts_.agent->PowerOff(deadline), "guest: power off"));
  return WaitProcess(parts_.record.qemu, deadline).status();
}

absl::Status QemuVm::Kill(absl::Time deadline) {
  return Annotate(KillGroup(parts_.record.qemu, deadline), "VM: kill QEMU");
}

absl::StatusOr<std::string> QemuVm::ConsoleTail() const {
  return parts_.files->ConsoleTail(kConsoleTail);
}

void QemuVm::TrimConsole() {
  const absl::Status trimmed =
      parts_.files->TrimConsole(kLongConsole, kConsoleTail);
  if (!trimmed.ok()) {
    Log(LogLevel::kDebug, "a console cannot be cut",
        {{"error", trimmed.message()}});
  }
}

// The exit code alone tells little: QEMU ends with 0 also when the guest's
// kernel panicked, and a daemon that adopted the VM never learns it.
std::string QemuVm::ExitReason(int wait_status) const {
  const std::string panic =
      PanicLine(parts_.files->ConsoleTail(kConsoleTail).value_or(""));
  if (!panic.empty()) return absl::StrCat("the guest panicked: ", panic);
  if (WIFSIGNALED(wait_status)) {
    return absl::StrCat("QEMU was killed by signal ", WTERMSIG(wait_status));
  }
  const std::string log =
      LastLines(parts_.files->QemuLogTail(1024).value_or(""), 512);
  if (WEXITSTATUS(wait_status) != 0) {
    return absl::StrCat("QEMU ended with exit code ", WEXITSTATUS(wait_status),
                        log.empty() ? "" : ": ", log);
  }
  return "the VM ended: the guest powered off, or QEMU was ended from outside";
}

}  // namespace podvisor
