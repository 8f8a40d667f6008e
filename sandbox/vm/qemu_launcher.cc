#include "sandbox/vm/qemu_launcher.h"

#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/started_process.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "guestagent/client/agent_secret.h"
#include "guestagent/client/grpc_agent_client.h"
#include "sandbox/vm/pod_processes.h"
#include "sandbox/vm/qemu_command_line.h"
#include "sandbox/vm/qemu_jail.h"
#include "sandbox/vm/qemu_process.h"
#include "sandbox/vm/qmp_connection.h"
#include "sandbox/vm/vm_files.h"

namespace podvisor {
namespace {

constexpr size_t kQuotedBytes = 512;
// From the end of its connections to its own.
constexpr absl::Duration kDying = absl::Seconds(1);

// The jailed QEMU opens it as a user that owns nothing.
absl::Status CheckReadable(const std::string& path, absl::string_view what) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat(what, ": ", ErrnoStatus(errno, path).message()));
  }
  if (!S_ISREG(info.st_mode) || (info.st_mode & S_IROTH) == 0 ||
      info.st_size == 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        what, ": ", path, " is not a file that everybody may read"));
  }
  return absl::OkStatus();
}

// Starts QEMU; afterwards the listening sockets are its alone, so that a
// connection to them ends when it does.
absl::StatusOr<ProcessIdentity> StartQemu(const VmSpec& spec,
                                          const VmFiles& files) {
  ASSIGN_OR_RETURN(const std::vector<std::string> qemu, QemuCommandLine(spec));
  SpawnOptions spawn;
  ASSIGN_OR_RETURN(spawn.argv, JailCommandLine(spec, qemu));
  RETURN_IF_ERROR(MakeJailRoot(spec.directory));
  ASSIGN_OR_RETURN(const UniqueFd qmp, files.ListenForQmp());
  ASSIGN_OR_RETURN(const UniqueFd agent, files.ListenForAgent());
  ASSIGN_OR_RETURN(const UniqueFd console, files.NewConsole());
  ASSIGN_OR_RETURN(const UniqueFd log, files.NewQemuLog());
  spawn.fds = {{qmp.get(), kQemuQmpFd},
               {agent.get(), kQemuAgentFd},
               {console.get(), kQemuConsoleFd}};
  spawn.stdout_fd = log.get();
  spawn.stderr_fd = log.get();
  return Spawn(spawn);
}

// Why an attempt ended. `ended`: QEMU had ended by itself before it was killed.
absl::Status BootFailure(const absl::Status& cause, const VmFiles& files,
                         bool ended) {
  const std::string console = files.ConsoleTail(64 << 10).value_or("");
  const std::string panic = PanicLine(console);
  std::string message = absl::StrCat("the guest did not come up: ",
                                     panic.empty() ? cause.message() : panic);
  const std::string log =
      LastLines(files.QemuLogTail(kQuotedBytes).value_or(""), kQuotedBytes);
  if (!log.empty()) absl::StrAppend(&message, "; QEMU: ", log);
  if (panic.empty()) {
    const std::string last = LastLines(console, kQuotedBytes);
    if (!last.empty()) absl::StrAppend(&message, "; console: ", last);
  }
  if (ended || !panic.empty()) return absl::UnavailableError(message);
  return absl::Status(cause.code(), message);
}

// Whether a child of ours that nobody has waited for yet was ended by others,
// as the host does where it runs out of memory, and not by itself.
bool DiedOfSignal(pid_t pid) {
  // Its sockets are closed before it can be waited for.
  const UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  pollfd polled = {pidfd.get(), POLLIN, 0};
  poll(&polled, 1, absl::ToInt64Milliseconds(kDying));
  siginfo_t info = {};
  return waitid(P_PID, static_cast<id_t>(pid), &info,
                WEXITED | WNOHANG | WNOWAIT) == 0 &&
         info.si_pid == pid &&
         (info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED);
}

bool IsWorthAnotherTry(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsDataLoss(status);
}

VmRecord RecordOf(const VmSpec& spec, const ProcessIdentity& process,
                  const AgentSecret& secret) {
  VmRecord record;
  record.qemu = process;
  record.agent_secret_hex = secret.ToHex();
  record.uid = spec.uid;
  record.boot_vcpus = spec.boot_vcpus;
  record.max_vcpus = spec.max_vcpus;
  record.boot_memory_bytes = spec.boot_memory_bytes;
  record.max_memory_bytes = spec.max_memory_bytes;
  record.memory_device = spec.memory_device;
  record.vcpu_unplug = spec.vcpu_unplug;
  record.memory_slots = spec.memory_slots;
  record.bridges = spec.bridges;
  record.accelerator = spec.accelerator;
  return record;
}

}  // namespace

absl::Status CheckVmParts(const VmSpec& spec) {
  RETURN_IF_ERROR(CheckReadable(spec.kernel, "guest kernel"));
  RETURN_IF_ERROR(CheckReadable(spec.initrd, "guest initrd"));
  if (access(spec.qemu.c_str(), X_OK) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("QEMU: ", ErrnoStatus(errno, spec.qemu).message()));
  }
  return absl::OkStatus();
}

QemuLauncher::QemuLauncher(Clock* clock, BootGate* gate,
                           ProcessWatcher* watcher, QemuLauncherOptions options)
    : clock_(clock), gate_(gate), watcher_(watcher), options_(options) {}

absl::StatusOr<std::unique_ptr<Vm>> QemuLauncher::Launch(
    const VmSpec& spec, const VmRecorder& recorder, absl::Time deadline) {
  RETURN_IF_ERROR(QemuCommandLine(spec).status());
  RETURN_IF_ERROR(CheckVmParts(spec));
  absl::StatusOr<std::unique_ptr<Vm>> vm = nullptr;
  for (int attempt = 1;; ++attempt) {
    // A turn for each attempt: a guest that never answers keeps those who wait
    // for one attempt, not for all of its own.
    const absl::StatusOr<BootGate::Pass> pass = gate_->Enter(deadline);
    if (!pass.ok()) return attempt == 1 ? pass.status() : std::move(vm);
    vm = BootOnce(spec, recorder, attempt,
                  std::min(deadline, clock_->Now() + options_.boot_timeout));
    if (vm.ok() || !IsWorthAnotherTry(vm.status()) ||
        attempt >= options_.max_attempts || clock_->Now() >= deadline) {
      return vm;
    }
    Log(LogLevel::kWarning, "a boot failed and is tried again",
        {{"sandbox_id", spec.id.value()}, {"error", vm.status().message()}});
  }
}

absl::StatusOr<std::unique_ptr<Vm>> QemuLauncher::BootOnce(
    const VmSpec& spec, const VmRecorder& recorder, int attempt,
    absl::Time deadline) {
  ASSIGN_OR_RETURN(VmFiles opened, VmFiles::Open(spec.directory));
  VmParts parts;
  parts.files = std::make_unique<VmFiles>(std::move(opened));
  const AgentSecret secret = AgentSecret::Random();
  const absl::Time start = clock_->Now();
  ASSIGN_OR_RETURN(const ProcessIdentity process,
                   StartQemu(spec, *parts.files));
  StartedProcess started(process, "QEMU", clock_);
  parts.record = RecordOf(spec, process, secret);
  RETURN_IF_ERROR(Annotate(recorder(parts.record), "record the VM"));

  absl::StatusOr<std::unique_ptr<QmpConnection>> qmp = QmpConnection::Open(
      parts.files->qmp_socket(), clock_,
      std::min(deadline, clock_->Now() + options_.qmp_timeout));
  if (!qmp.ok()) {
    const bool hung =
        IsAlive(process) && absl::IsDeadlineExceeded(qmp.status());
    const bool killed = !hung && DiedOfSignal(process.pid);
    started.End();
    const std::string log = LastLines(
        parts.files->QemuLogTail(kQuotedBytes).value_or(""), kQuotedBytes);
    if (hung) return Annotate(qmp.status(), "QEMU does not answer");
    if (killed) {
      return absl::UnavailableError(absl::StrCat(
          "QEMU was killed as it started", log.empty() ? "" : ": ", log));
    }
    return absl::FailedPreconditionError(absl::StrCat(
        "QEMU did not start: ", log.empty() ? qmp.status().message() : log));
  }
  parts.qmp = *std::move(qmp);
  parts.timings.qmp = clock_->Now() - start;

  parts.agent = std::make_shared<GrpcAgentClient>(
      parts.files->agent_socket(), secret, AgentClientOptions(), clock_);
  // Its hello is a part of it.
  const absl::Status up = parts.agent->Connect(deadline);
  if (!up.ok()) {
    const bool ended = !IsAlive(process);
    started.End();
    return BootFailure(up, *parts.files, ended);
  }
  parts.timings.hello = clock_->Now() - start;
  parts.timings.attempts = attempt;
  started.Keep();
  parts.process = std::make_unique<QemuProcess>(parts.record.qemu,
                                                parts.files.get(), watcher_);
  return std::make_unique<Vm>(std::move(parts), clock_);
}

absl::StatusOr<std::unique_ptr<Vm>> QemuLauncher::Adopt(const VmSpec& spec,
                                                        const VmRecord& record,
                                                        absl::Time deadline) {
  const absl::StatusOr<std::string> cmdline =
      ReadFile(absl::StrCat("/proc/", record.qemu.pid, "/cmdline"));
  if (!IsAlive(record.qemu) || !cmdline.ok() ||
      !IsProcessOfPod(*cmdline, spec.id)) {
    return absl::NotFoundError(
        absl::StrCat("QEMU, process ", record.qemu.pid, ", is gone"));
  }
  const absl::StatusOr<AgentSecret> secret =
      AgentSecret::FromHex(record.agent_secret_hex);
  if (!secret.ok()) return absl::DataLossError("the VM's record is damaged");
  ASSIGN_OR_RETURN(VmFiles opened, VmFiles::Open(spec.directory));
  VmParts parts;
  parts.files = std::make_unique<VmFiles>(std::move(opened));
  parts.record = record;
  absl::StatusOr<std::unique_ptr<QmpConnection>> qmp =
      QmpConnection::Open(parts.files->qmp_socket(), clock_, deadline);
  if (!qmp.ok()) return Annotate(qmp.status(), "adopt: QMP");
  parts.qmp = *std::move(qmp);
  RETURN_IF_ERROR(Annotate(
      parts.qmp->Execute("query-status", "", deadline).status(), "adopt: QMP"));
  parts.agent = std::make_shared<GrpcAgentClient>(
      parts.files->agent_socket(), *secret, AgentClientOptions(), clock_);
  parts.process = std::make_unique<QemuProcess>(parts.record.qemu,
                                                parts.files.get(), watcher_);
  return std::make_unique<Vm>(std::move(parts), clock_);
}

absl::Status QemuLauncher::Sweep(const PodId& id, absl::Time deadline) {
  return KillPodProcesses(id, deadline);
}

}  // namespace podvisor
