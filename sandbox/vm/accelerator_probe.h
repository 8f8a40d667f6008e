#ifndef PODVISOR_SANDBOX_VM_ACCELERATOR_PROBE_H_
#define PODVISOR_SANDBOX_VM_ACCELERATOR_PROBE_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "sandbox/record/vm_spec.h"
#include "sandbox/vm/vm_launcher.h"

namespace podvisor {

struct AcceleratorChoice {
  Accelerator accelerator = Accelerator::kTcg;
  std::string reason;  // one line, for Status and the log

  bool operator==(const AcceleratorChoice&) const = default;
};

// What the outcome of a probe depends on: this boot of the host, and the QEMU,
// kernel and initrd files, by size and time. Two equal keys have the same
// outcome. NotFound when one of them is missing.
absl::StatusOr<std::string> ProbeKey(
    const VmSpec& spec,
    const std::string& boot_id_path = "/proc/sys/kernel/random/boot_id");

// What a daemon that used `run_dir` found out, as long as it holds; nullopt
// where none did. Changes nothing.
std::optional<AcceleratorChoice> KnownAccelerator(const std::string& run_dir,
                                                  const VmSpec& spec);

// Finds out whether KVM works here, by booting the guest with it.
//
// That the device opens, or that a VM starts, proves nothing: nested KVM was
// seen that runs the firmware and never the kernel. Only the agent's hello
// counts. The outcome is kept in run_dir/accelerator.json and holds until the
// host reboots or QEMU, the kernel or the initrd changes.
//
// Not thread-safe.
class AcceleratorProbe {
 public:
  // Borrows both. The launcher should try once only: QemuLauncherOptions.
  AcceleratorProbe(VmLauncher* launcher, Clock* clock, std::string run_dir,
                   std::string kvm_device = "/dev/kvm");

  // `wanted` is "auto", "kvm" or "tcg"; only "auto" is probed. `base` gives
  // QEMU, kernel, initrd and kernel_params. Never takes much longer than
  // kProbeTime.
  //
  // Errors: InvalidArgument (`wanted`). A probe that fails is not an error: the
  // answer is TCG, and the reason says what happened.
  absl::StatusOr<AcceleratorChoice> Choose(absl::string_view wanted,
                                           const VmSpec& base);

  static constexpr absl::Duration kProbeTime = absl::Seconds(15);

 private:
  AcceleratorChoice Probe(const VmSpec& base);

  VmLauncher* const launcher_;
  Clock* const clock_;
  const std::string run_dir_;
  const std::string kvm_device_;
};

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_VM_ACCELERATOR_PROBE_H_
