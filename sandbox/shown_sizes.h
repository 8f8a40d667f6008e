#ifndef PODVISOR_SANDBOX_SHOWN_SIZES_H_
#define PODVISOR_SANDBOX_SHOWN_SIZES_H_

#include "sandbox/pod_snapshot.h"
#include "sandbox/pod_vm.h"
#include "sandbox/stored_pod.h"
#include "sandbox/wanted_size.h"

namespace podvisor {

// What people are shown of a VM's size: as last observed, beside what is wanted
// of it now; nothing of a VM that has ended. Never waits for the VM.
VmSizes ShownSizes(const StoredPod& pod, const WantedSize& wanted, PodVm& vm);

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_SHOWN_SIZES_H_
