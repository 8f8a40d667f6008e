#ifndef PODVISOR_SANDBOX_PARTS_POD_SAMPLE_H_
#define PODVISOR_SANDBOX_PARTS_POD_SAMPLE_H_

#include "absl/time/time.h"
#include "guestagent/agent.pb.h"
#include "metrics/vm_snapshot.h"
#include "sandbox/parts/cpu_time.h"
#include "sandbox/record/pod_snapshot.h"
#include "sandbox/record/vm_spec.h"

namespace podvisor {

// The parts of a sample of one pod, each from its own source, put into the
// values that lists, stats and metrics are made of.

// What the agent says of one container. Pure.
ContainerUsage UsageOf(const agent::v1::ContainerStats& stats);
// What it says of the network and the disk that the containers share. Pure.
PodUsage PodUsageOf(const agent::v1::GetStatsResponse& stats, absl::Time now);
// What went over all interfaces of the pod; nothing for one without. Pure.
void AddNetworkTraffic(const PodUsage& usage, VmSnapshot* into);
// What the agent says of pressure in the guest. Pure.
void AddGuestPressure(const agent::v1::GetStatsResponse& stats,
                      VmSnapshot* into);
// The sizes as the sizer knows them. Pure.
void AddSizes(const VmSizes& sizes, VmSnapshot* into);
// The excess of a pod that has a limit. Pure.
void AddAccount(const PodAccount& account, VmSnapshot* into);
// What the VM's processes cost the host now, and what its QEMU has cost by now;
// nothing where they are gone.
void AddHostUsage(const VmRecord& vm, CpuTime* qemu_time, VmSnapshot* into);

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_PARTS_POD_SAMPLE_H_
