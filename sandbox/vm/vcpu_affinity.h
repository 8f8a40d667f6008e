#ifndef PODVISOR_SANDBOX_VM_VCPU_AFFINITY_H_
#define PODVISOR_SANDBOX_VM_VCPU_AFFINITY_H_

#include <sys/types.h>

#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/cpu_list.h"
#include "base/process.h"
#include "hotplug/qmp_client.h"

namespace podvisor {

// Which CPU of the host each vCPU of a VM runs on.
//
// Nothing of it is recorded: a thread's affinity lasts as long as the thread,
// and a later daemon decides it anew from the containers' records.

// For each vCPU, in the guest's order, the host CPUs that it is kept to; empty
// for anywhere. One to one where the guest uses as many vCPUs (`online` of
// `plugged`, the lowest) as there are CPUs; else each may use all of `cpus`.
// A parked vCPU has nothing to run and gets all of them. Pure.
std::vector<CpuList> DecideVcpuAffinity(const CpuList& cpus, int plugged,
                                        int online);

// The threads of the vCPUs in the guest's order, from the reply of
// query-cpus-fast. Hostile: a thread is QEMU's only once that was looked up.
// DataLoss for nonsense, for more than 4096, and for one thread or one vCPU
// twice. Pure.
absl::StatusOr<std::vector<pid_t>> ParseVcpuThreads(absl::string_view json);

// The same, asked of a QEMU. Errors: see QmpClient.
absl::StatusOr<std::vector<pid_t>> QueryVcpuThreads(QmpClient& qmp,
                                                    absl::Time deadline);

// Keeps one thread to these CPUs; empty: to all that the kernel lets it have,
// which is what the cgroup allows.
//
//   DataLoss            the thread is not one of the process.
//   FailedPrecondition  its cgroup allows none of the CPUs.
//   Unavailable         the process or the thread has ended.
absl::Status KeepThreadTo(const ProcessIdentity& process, pid_t thread,
                          const CpuList& cpus);

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_VM_VCPU_AFFINITY_H_
