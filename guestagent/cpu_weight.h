#ifndef PODVISOR_GUESTAGENT_CPU_WEIGHT_H_
#define PODVISOR_GUESTAGENT_CPU_WEIGHT_H_

#include <algorithm>
#include <cstdint>

namespace podvisor {

// cgroup v1's cpu.shares (2 to 262144), in which CRI speaks, and cgroup v2's
// cpu.weight (1 to 10000), which guests have: the formula of runc and crun.
constexpr int64_t CpuWeightFromShares(int64_t shares) {
  return 1 + ((std::clamp<int64_t>(shares, 2, 262144) - 2) * 9999) / 262142;
}

// Some shares that have this weight.
constexpr int64_t CpuSharesFromWeight(int64_t weight) {
  return 2 +
         ((std::clamp<int64_t>(weight, 1, 10000) - 1) * 262142 + 9998) / 9999;
}

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_CPU_WEIGHT_H_
