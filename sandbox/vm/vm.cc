#include "sandbox/vm/vm.h"

#include <sys/types.h>

#include <utility>
#include <vector>

#include "base/log.h"
#include "base/status_macros.h"
#include "sandbox/vm/vcpu_affinity.h"

namespace podvisor {
namespace {

// A quarter of the console's room (volume/pod_directory.cc): a flood has the
// rest until the next look.
constexpr size_t kLongConsole = 1 << 20;
constexpr size_t kKeptConsole = 64 << 10;

}  // namespace

Vm::Vm(VmParts parts, Clock* clock)
    : parts_(std::move(parts)),
      devices_(parts_.qmp.get(), clock, parts_.record.bridges) {}

absl::Status Vm::PowerOff(absl::Time deadline) {
  if (parts_.process->Exited()) return absl::OkStatus();
  RETURN_IF_ERROR(
      Annotate(parts_.agent->PowerOff(deadline), "guest: power off"));
  return parts_.process->AwaitExit(deadline);
}

absl::Status Vm::PinVcpus(const CpuList& host_cpus, int online,
                          absl::Time deadline) {
  const absl::StatusOr<std::vector<pid_t>> threads =
      QueryVcpuThreads(*parts_.qmp, deadline);
  absl::Status pinned = threads.status();
  if (threads.ok()) {
    pinned = parts_.process->KeepThreads(
        *threads, DecideVcpuAffinity(
                      host_cpus, static_cast<int>(threads->size()), online));
  }
  return Annotate(pinned, "VM: vCPU affinity");
}

void Vm::TrimConsole() {
  if (parts_.files == nullptr) return;
  const absl::Status trimmed =
      parts_.files->TrimConsole(kLongConsole, kKeptConsole);
  if (!trimmed.ok()) {
    Log(LogLevel::kDebug, "a console cannot be cut",
        {{"error", trimmed.message()}});
  }
}

}  // namespace podvisor
