#ifndef PODVISOR_SANDBOX_PARTS_CPU_TIME_H_
#define PODVISOR_SANDBOX_PARTS_CPU_TIME_H_

#include <map>

#include "absl/time/time.h"
#include "sandbox/vm/vm_usage.h"

namespace podvisor {

// What a VM's QEMU has had of the host's CPUs, apart for the guest and for
// QEMU's own work. Threads of both kinds come and go, with CPUs that are
// unplugged and with disks that are idle: this keeps both sums from falling.
// What a vCPU had after the last look, before it went, counts as QEMU's own;
// after a restart of the daemon, so does all that those had which went before.
// A value; pure.
class CpuTime {
 public:
  // Takes in what QEMU's process has by now.
  void Observe(const ProcessUsage& qemu);

  absl::Duration vcpus() const { return vcpus_; }
  absl::Duration vmm() const { return vmm_; }

 private:
  std::map<int, absl::Duration> last_;  // of vCPUs, by thread id
  absl::Duration vcpus_;
  absl::Duration vmm_;
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_PARTS_CPU_TIME_H_
