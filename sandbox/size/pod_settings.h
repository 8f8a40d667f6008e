#ifndef PODVISOR_SANDBOX_SIZE_POD_SETTINGS_H_
#define PODVISOR_SANDBOX_SIZE_POD_SETTINGS_H_

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "base/cpu_list.h"
#include "hotplug/pod_demand.h"
#include "hotplug/vm_limits.h"
#include "sandbox/record/vm_spec.h"
#include "sandbox/size/cpuset.h"

namespace podvisor {

enum class AccountingGuard { kWarn, kEnforce };

// What the configuration says about every pod. A value, fixed at start.
struct PodSettings {
  std::string root_dir;
  std::string run_dir;

  // Everything of a VM but what differs from pod to pod: id, directory, uid
  // and sizes.
  VmSpec vm;
  // What hot plug can do; the boot sizes are those of a pod's base. Without hot
  // plug the maxima are the largest bases that pods may ask for.
  VmLimits limits;
  SizingRules sizing;
  // Whether a pod has what its own resources ask for from the start.
  bool presize = false;
  // What is done about a VM that can use more than its pod is accounted for.
  AccountingGuard accounting_guard = AccountingGuard::kWarn;
  absl::Duration shrink_delay = absl::Seconds(5);
  CpusetMode cpuset = CpusetMode::kPin;
  CpuList host_cpus;  // online, what a cpuset may name with kPin

  // What pods resolve with that ask for nothing and whose network knows
  // nothing.
  std::string resolv_conf = "/etc/resolv.conf";

  std::string virtiofsd;
  int64_t scratch_bytes = int64_t{10} << 30;
  absl::Duration sample_interval = absl::Seconds(10);
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_SIZE_POD_SETTINGS_H_
