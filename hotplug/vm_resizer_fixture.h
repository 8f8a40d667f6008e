#ifndef PODVISOR_HOTPLUG_VM_RESIZER_FIXTURE_H_
#define PODVISOR_HOTPLUG_VM_RESIZER_FIXTURE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "base/clock.h"
#include "gtest/gtest.h"
#include "guestagent/client/fake_guest_agent.h"
#include "hotplug/fake_qemu.h"
#include "hotplug/vm_resizer.h"

namespace podvisor {

inline constexpr int64_t kMiB = int64_t{1} << 20;
inline constexpr int64_t kGiB = int64_t{1} << 30;
inline constexpr int64_t kBoot = 256 * kMiB;

// One fake QEMU with its fake guest, of one vCPU and kBoot bytes.
class VmResizerFixture : public testing::Test {
 protected:
  static VmLimits Limits(VcpuUnplug unplug) {
    VmLimits limits;
    limits.boot_vcpus = 1;
    limits.max_vcpus = 8;
    limits.boot_memory_bytes = kBoot;
    limits.max_memory_bytes = kBoot + 4 * kGiB;
    limits.memory_block_bytes = 128 * kMiB;
    limits.vcpu_unplug = unplug;
    return limits;
  }
  // As a daemon that has just started: new connection, nothing remembered.
  absl::StatusOr<ResizeOutcome> Resize(
      const VmSize& target, absl::Duration time = absl::Seconds(30)) {
    const std::unique_ptr<QmpClient> qmp = qemu_.Connect();
    VmResizer resizer(qmp.get(), &guest_, &clock_, limits_,
                      {.memory_bus = "pb1", .memory_slot = ""});
    return resizer.Resize(target, clock_.Now() + time);
  }
  absl::StatusOr<ResizeOutcome> Grow(const VmSize& target) {
    return Grow(target, target);
  }
  absl::StatusOr<ResizeOutcome> Grow(const VmSize& target,
                                     const VmSize& least) {
    const std::unique_ptr<QmpClient> qmp = qemu_.Connect();
    VmResizer resizer(qmp.get(), &guest_, &clock_, limits_, {});
    const absl::Time deadline = clock_.Now() + absl::Seconds(30);
    const absl::StatusOr<VmState> before = resizer.Observe(deadline);
    if (!before.ok()) return before.status();
    return resizer.Grow(*before, target, least, deadline);
  }

  absl::StatusOr<VmState> Observe() {
    const std::unique_ptr<QmpClient> qmp = qemu_.Connect();
    VmResizer resizer(qmp.get(), &guest_, &clock_, limits_, {});
    return resizer.Observe(clock_.Now() + absl::Seconds(30));
  }

  void ResizeOrDie(const VmSize& target) {
    const auto outcome = Resize(target);
    ASSERT_TRUE(outcome.ok()) << outcome.status();
    ASSERT_TRUE(outcome->missing.ok()) << outcome->missing;
    ASSERT_EQ(outcome->shortfall_bytes, 0);
    ASSERT_EQ(outcome->shortfall_vcpus, 0);
  }

  void UseDeviceRemoval() { limits_ = Limits(VcpuUnplug::kDevice); }

  void UseDimms(bool unplug) {
    limits_.memory_device = MemoryDevice::kPcDimm;
    limits_.memory_slots = 10;
    limits_.dimm_unplug = unplug;
  }

  // Commands that change anything.
  std::vector<std::string> Changes() const {
    std::vector<std::string> commands = qemu_.commands();
    std::erase_if(commands, [](const std::string& command) {
      return absl::StartsWith(command, "query-");
    });
    return commands;
  }

  FakeClock clock_;
  FakeGuestAgent guest_{{.clock = &clock_}};
  FakeQemu qemu_{{}, &guest_, &clock_};
  VmLimits limits_ = Limits(VcpuUnplug::kPark);
};

}  // namespace podvisor

#endif  // PODVISOR_HOTPLUG_VM_RESIZER_FIXTURE_H_
