#ifndef PODVISOR_CRI_CTL_CHECK_H_
#define PODVISOR_CRI_CTL_CHECK_H_

#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "cri/config.h"
#include "sandbox/vm/accelerator_probe.h"

namespace podvisor {

enum class CheckResult { kOk, kWarn, kFail };

struct CheckLine {
  CheckResult result = CheckResult::kOk;
  std::string what;    // "qemu"
  std::string found;   // "/usr/bin/qemu-system-x86_64"
  std::string advice;  // what to do; empty when ok

  bool operator==(const CheckLine&) const = default;
};

// Which parts of the host are looked at; a test gives its own.
struct HostPaths {
  std::string kvm = "/dev/kvm";
  std::string tun = "/dev/net/tun";
  std::string cgroup = "/sys/fs/cgroup";
  std::string meminfo = "/proc/meminfo";
  // Directories with programs, in the order of a search.
  std::vector<std::string> programs = {"/usr/local/sbin", "/usr/local/bin",
                                       "/usr/sbin",       "/usr/bin",
                                       "/sbin",           "/bin"};
};

// Looks, and changes nothing: no VM is started, no file written.
std::vector<CheckLine> CheckHost(const Config& config, const HostPaths& paths);

// Pure: what VMs will run on. `wanted` is the configuration's word,
// `kvm_problem` what keeps the device from making a VM, `known` what a daemon
// found out. KVM that makes a VM is not yet KVM that boots one: only that boot
// shows it.
CheckLine CheckAccelerator(const std::string& wanted,
                           const std::string& kvm_problem,
                           const std::optional<AcceleratorChoice>& known);

// Pure: what /proc/meminfo means for a node that starts VMs of `vm_mib`.
CheckLine CheckMemory(absl::string_view meminfo, int64_t vm_mib);

// Prints the lines. False when one of them is kFail.
bool PrintChecks(const std::vector<CheckLine>& lines, std::ostream& out);

}  // namespace podvisor

#endif  // PODVISOR_CRI_CTL_CHECK_H_
