#ifndef PODVISOR_SANDBOX_PARTS_SHOWN_SIZES_H_
#define PODVISOR_SANDBOX_PARTS_SHOWN_SIZES_H_

#include "sandbox/parts/pod_vm.h"
#include "sandbox/parts/stored_pod.h"
#include "sandbox/parts/wanted_size.h"
#include "sandbox/record/pod_snapshot.h"

namespace podvisor {

// What people are shown of a VM's size: as last observed, beside what is wanted
// of it now; nothing of a VM that has ended. Never waits for the VM.
VmSizes ShownSizes(const StoredPod& pod, const WantedSize& wanted, PodVm& vm);

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_PARTS_SHOWN_SIZES_H_
