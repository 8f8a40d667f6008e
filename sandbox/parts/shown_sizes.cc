#include "sandbox/parts/shown_sizes.h"

#include "absl/status/statusor.h"

namespace podvisor {

VmSizes ShownSizes(const StoredPod& pod, const WantedSize& wanted, PodVm& vm) {
  VmSizes sizes = vm.sizer().sizes();
  if (pod.state() == SandboxState::kReady) {
    // What is wanted now, not what was last tried. It has no size only while
    // a container that asks for the impossible is being refused.
    const absl::StatusOr<VmTarget> target = wanted.Target(vm.sizer().limits());
    if (target.ok()) {
      sizes.target_vcpus = target->size.vcpus;
      sizes.target_memory_bytes = target->size.memory_bytes;
      sizes.vcpus_clamped = target->vcpus_clamped;
      sizes.memory_clamped = target->memory_clamped;
      sizes.cut_milli_cpu = target->cut_by_pod.milli_cpu;
      sizes.cut_memory_bytes = target->cut_by_pod.memory_bytes;
    }
  } else if (vm.vm().process().Exited()) {
    sizes.plugged_vcpus = sizes.online_vcpus = sizes.memory_slots_used = 0;
    sizes.plugged_memory_bytes = sizes.online_memory_bytes = 0;
    sizes.shortfall_bytes = 0;
  }
  return sizes;
}

}  // namespace podvisor
