#ifndef PODVISOR_SANDBOX_VM_VM_LAUNCHER_H_
#define PODVISOR_SANDBOX_VM_VM_LAUNCHER_H_

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/ids.h"
#include "sandbox/record/vm_spec.h"
#include "sandbox/vm/vm.h"

namespace podvisor {

// Stores the record of a VM whose QEMU has just been started. Called once for
// each attempt, before anything else is done with the VM; an error ends the
// launch, and the QEMU is killed.
using VmRecorder = std::function<absl::Status(const VmRecord& record)>;

// Makes VMs. Thread-safe; any number of launches may run at once, the
// implementation queues them.
class VmLauncher {
 public:
  virtual ~VmLauncher() = default;
  VmLauncher(const VmLauncher&) = delete;
  VmLauncher& operator=(const VmLauncher&) = delete;

  // Boots a VM until its agent has answered. A boot that fails is tried again,
  // twice at most, while there is time. After an error nothing is left behind.
  //
  // Errors:
  //   InvalidArgument     the spec cannot be (sizes, paths).
  //   FailedPrecondition  kernel, initrd or QEMU is missing or does not start.
  //   DeadlineExceeded    the guest did not come up, or the queue was too long.
  //   Unavailable         every attempt died; the message quotes the console.
  virtual absl::StatusOr<std::unique_ptr<Vm>> Launch(const VmSpec& spec,
                                                     const VmRecorder& recorder,
                                                     absl::Time deadline) = 0;

  // Takes over a running VM that an earlier daemon launched: the process is the
  // recorded one and QMP answers. The guest is not asked: agent().Connect()
  // tells whether it is there. `spec` gives the directory and the topology.
  //
  // Errors:
  //   NotFound          QEMU is gone (or the pid is another process).
  //   Unavailable,
  //   DeadlineExceeded  QEMU lives but QMP does not answer: kill it with
  //                     Sweep(), or try again.
  virtual absl::StatusOr<std::unique_ptr<Vm>> Adopt(const VmSpec& spec,
                                                    const VmRecord& record,
                                                    absl::Time deadline) = 0;

  // Kills every QEMU and virtiofsd of this pod, also one that was started just
  // before the daemon died and was not recorded. OK when there is none.
  virtual absl::Status Sweep(const PodId& id, absl::Time deadline) = 0;

 protected:
  VmLauncher() = default;
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_VM_VM_LAUNCHER_H_
