#ifndef PODVISOR_SANDBOX_VM_VM_H_
#define PODVISOR_SANDBOX_VM_VM_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/cpu_list.h"
#include "guestagent/client/guest_agent.h"
#include "hotplug/qmp_client.h"
#include "sandbox/record/vm_spec.h"
#include "sandbox/vm/vm_devices.h"
#include "sandbox/vm/vm_files.h"
#include "sandbox/vm/vm_process.h"

namespace podvisor {

// How long the start took, from the start of the QEMU that came up.
struct BootTimings {
  absl::Duration qmp;    // until QEMU's QMP greeting
  absl::Duration hello;  // until the agent answered
  int attempts = 0;      // 1: the first QEMU came up; 0: adopted
};

// What a Vm is made of; the launcher puts it together.
struct VmParts {
  VmRecord record;
  BootTimings timings;
  std::unique_ptr<VmFiles> files;  // null: of a fake, which prints nothing
  std::unique_ptr<QmpClient> qmp;
  std::shared_ptr<GuestAgent> agent;  // a fake's lives in its machine
  std::unique_ptr<VmProcess> process;
};

// One running VM: its QEMU, the monitor, the agent, the devices plugged in.
//
// The destructor only lets go; the VM runs on.
//
// Thread-safe. Device calls of one VM are serialized; they, and whatever uses
// qmp() or agent(), never block record() or process().
// Errors of all that has a deadline: DeadlineExceeded, and Unavailable when
// QEMU is gone.
class Vm {
 public:
  // Borrows `clock`.
  Vm(VmParts parts, Clock* clock);

  const VmRecord& record() const { return parts_.record; }
  const BootTimings& boot_timings() const { return parts_.timings; }
  QmpClient& qmp() { return *parts_.qmp; }
  GuestAgent& agent() { return *parts_.agent; }
  VmDevices& devices() { return devices_; }
  VmProcess& process() { return *parts_.process; }

  // Asks the guest to power off and waits until QEMU is gone. DeadlineExceeded:
  // it is not; Kill() it.
  absl::Status PowerOff(absl::Time deadline);

  // Keeps the vCPUs' threads to these CPUs of the host, see vcpu_affinity.h;
  // empty: to none. `online` is how many vCPUs the guest uses. Threads that are
  // plugged later are free. FailedPrecondition: QEMU may not run there.
  absl::Status PinVcpus(const CpuList& host_cpus, int online,
                        absl::Time deadline);

  // Keeps the console's end where it has grown so long that it would soon have
  // no room. Cheap; to be called now and then.
  void TrimConsole();

 private:
  const VmParts parts_;
  VmDevices devices_;
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_VM_VM_H_
