#ifndef PODVISOR_HOTPLUG_HOTPLUG_VM_H_
#define PODVISOR_HOTPLUG_HOTPLUG_VM_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/process.h"
#include "guestagent/client/grpc_agent_client.h"
#include "guestagent/client/raw_vm.h"
#include "hotplug/qmp_socket_client.h"
#include "hotplug/vm_resizer.h"

namespace podvisor {

inline constexpr char kHotplugVmQemu[] = "/usr/bin/qemu-system-x86_64";
// The PCI bridge of a HotplugVm.
inline constexpr char kHotplugVmBus[] = "pb1";

// A VM for tests and benchmarks of hot plug: a real QEMU under TCG with the
// real guest, 1 vCPU of at most 4 and 256 MiB of at most 16 GiB in 10 slots.
// The guest image is taken from the directory that PODVISOR_GUEST_IMAGE_DIR
// names, or from guestagent/image where Bazel places it.
//
// Not thread-safe. Everything of it is gone with the object.
class HotplugVm {
 public:
  static constexpr int64_t kBootBytes = int64_t{256} << 20;

  // Whether QEMU and the image are there.
  static bool IsPossible();
  // Boots, with these disks, and connects. The kernel's parameters are added to
  // those of every pod.
  static absl::StatusOr<std::unique_ptr<HotplugVm>> Start(
      const std::vector<RawVmDisk>& disks = {}, int64_t boot_bytes = kBootBytes,
      const std::string& kernel_parameters = "");
  ~HotplugVm();

  HotplugVm(const HotplugVm&) = delete;
  HotplugVm& operator=(const HotplugVm&) = delete;

  // A new connection, as after a restart of the daemon.
  absl::Status ConnectQmp();

  // virtio-mem, up to 9 GiB more.
  VmLimits Limits(VcpuUnplug unplug) const;
  VmLimits DimmLimits(bool unplug) const;
  VmResizer Resizer(const VmLimits& limits);

  QmpClient& qmp() { return *qmp_; }
  GrpcAgentClient& agent() { return *agent_; }
  Clock& clock() { return clock_; }
  const ProcessIdentity& process() const { return vm_->process(); }
  bool alive() const { return IsAlive(vm_->process()); }

 private:
  HotplugVm(std::string directory, int64_t boot_bytes)
      : directory_(std::move(directory)), boot_bytes_(boot_bytes) {}

  SystemClock clock_;
  const std::string directory_;
  const int64_t boot_bytes_;
  std::unique_ptr<RawVm> vm_;
  std::unique_ptr<QmpSocketClient> qmp_;
  std::unique_ptr<GrpcAgentClient> agent_;
};

}  // namespace podvisor

#endif  // PODVISOR_HOTPLUG_HOTPLUG_VM_H_
