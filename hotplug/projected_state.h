#ifndef PODVISOR_HOTPLUG_PROJECTED_STATE_H_
#define PODVISOR_HOTPLUG_PROJECTED_STATE_H_

#include "hotplug/resize_plan.h"
#include "hotplug/vm_size.h"

namespace podvisor {

// What a VM has once every step of `plan` has worked and the guest has followed
// wholly: for dry runs, never in place of looking. Pure.
VmState StateAfter(const ResizePlan& plan, VmState state);

}  // namespace podvisor

#endif  // PODVISOR_HOTPLUG_PROJECTED_STATE_H_
