#ifndef PODVISOR_SANDBOX_POD_POD_RESIZE_MODEL_H_
#define PODVISOR_SANDBOX_POD_POD_RESIZE_MODEL_H_

#include <algorithm>
#include <cstdint>
#include <map>

#include "base/ids.h"
#include "sandbox/record/container_state.h"
#include "sandbox/size/pod_settings.h"

namespace podvisor {

// A pod as its client knows it from the answers alone, and the size that its VM
// must have: the rules of pod_sizing.h once more, in the plainest words.
struct PodResizeModel {
  struct Container {
    int64_t milli_cpu = 0;
    int64_t memory_mib = 0;
    ContainerPhase phase = ContainerPhase::kCreated;
  };

  std::map<ContainerId, Container> containers;
  bool had_containers = false;
  // Of the whole pod; 0: none. With presize the pod has them also while its
  // containers ask for less, but not when all have ended.
  int64_t most_milli_cpu = 0;
  int64_t most_memory_mib = 0;

  VmSize Target(const PodSettings& settings) const {
    int64_t milli_cpu = 0;
    int64_t memory_mib = 0;
    bool any = false;
    for (const auto& [id, container] : containers) {
      if (container.phase == ContainerPhase::kExited) continue;
      any = true;
      milli_cpu += container.milli_cpu;
      memory_mib += container.memory_mib;
    }
    if (settings.presize && (any || !had_containers)) {
      milli_cpu = std::max(milli_cpu, most_milli_cpu);
      memory_mib = std::max(memory_mib, most_memory_mib);
    }
    if (most_milli_cpu > 0) milli_cpu = std::min(milli_cpu, most_milli_cpu);
    if (most_memory_mib > 0) memory_mib = std::min(memory_mib, most_memory_mib);
    const VmLimits& limits = settings.limits;
    const int64_t base_mib = settings.sizing.base_memory_bytes >> 20;
    if (settings.sizing.sizing == Sizing::kAdditive) {
      milli_cpu += settings.sizing.base_milli_cpu;
      memory_mib += base_mib;
    }
    const int64_t boot_mib = limits.boot_memory_bytes >> 20;
    const int64_t most_mib = limits.max_memory_bytes >> 20;
    const int64_t block_mib = limits.memory_block_bytes >> 20;
    int64_t size_mib = boot_mib;
    while (size_mib < memory_mib && size_mib + block_mib <= most_mib) {
      size_mib += block_mib;
    }
    int vcpus = limits.boot_vcpus;
    while (vcpus * 1000 < milli_cpu && vcpus < limits.max_vcpus) ++vcpus;
    return {vcpus, size_mib << 20};
  }
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_POD_POD_RESIZE_MODEL_H_
