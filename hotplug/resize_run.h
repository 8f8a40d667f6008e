#ifndef PODVISOR_HOTPLUG_RESIZE_RUN_H_
#define PODVISOR_HOTPLUG_RESIZE_RUN_H_

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "guestagent/client/guest_resources.h"
#include "hotplug/observed_state.h"
#include "hotplug/qmp_client.h"
#include "hotplug/resize_plan.h"
#include "hotplug/vm_limits.h"
#include "nlohmann/json_fwd.hpp"

namespace podvisor {

// Where a resize may fail, for its errors.
inline constexpr char kVmStage[] = "VM";
inline constexpr char kGuestStage[] = "guest online";

struct VmResizerOptions {
  // The bridge or root port that gets the virtio-mem device when memory first
  // grows, and its slot there; an empty slot lets QEMU choose.
  std::string memory_bus;
  std::string memory_slot;
  // One QMP command; what must be awaited has the deadline of the call.
  absl::Duration command_timeout = absl::Seconds(5);
  // How long putting back may take after a failed grow, whose own deadline is
  // usually over.
  absl::Duration rollback_timeout = absl::Seconds(10);
  // How often a size is looked at while QEMU and the guest settle.
  absl::Duration poll_interval = absl::Milliseconds(10);
};

// The guest does not follow: a matter of patience, not of a lost connection.
bool IsReluctance(const absl::Status& status);

// Carries out the steps of one attempt to resize a VM, and looks at what came
// of them, at QEMU and at the guest. Errors name the stage, see VmResizer.
//
// For one thread. Borrows all that it is given.
class ResizeRun {
 public:
  ResizeRun(QmpClient* qmp, GuestResources* guest, Clock* clock,
            const VmLimits* limits, const VmResizerOptions* options,
            absl::Time deadline)
      : qmp_(*qmp),
        guest_(*guest),
        clock_(*clock),
        limits_(*limits),
        options_(*options),
        deadline_(deadline) {}

  absl::StatusOr<VmState> Observe();
  // The same after steps, whose time may be over: what came of them is to be
  // known all the same. The guest is asked again only where its answer to the
  // last of them is older than a change.
  absl::StatusOr<VmState> ReadBack() {
    return Look(clock_.Now() + options_.command_timeout);
  }
  // The steps that follow are those of a plan from `state`.
  void StartFrom(const VmState& state) {
    guest_boot_bytes_ = state.guest_boot_bytes;
    answer_.reset();
  }
  // What a daemon left that was killed while it added or removed memory.
  absl::Status RemoveLeftovers(const VmState& state);

  absl::Status operator()(const RequestMemory& step);
  absl::Status operator()(const PlugDimm& step);
  absl::Status operator()(const UnplugDimm& step);
  absl::Status operator()(const PlugVcpus& step);
  absl::Status operator()(const OnlineVcpus& step);
  absl::Status operator()(const AwaitMemoryGrown& step);
  absl::Status operator()(const OfflineVcpus& step);
  absl::Status operator()(const ReclaimMemory& step);
  absl::Status operator()(const UnplugVcpus& step);
  absl::Status operator()(const AwaitMemoryShrunk& step);

 private:
  absl::Time CommandDeadline() const {
    return std::min(deadline_, clock_.Now() + options_.command_timeout);
  }
  // What the guest keeps, or is slow with, must not cost the next step its
  // turn.
  absl::Time HalfTheTimeLeft() const {
    const absl::Time now = clock_.Now();
    return now + (deadline_ - now) / 2;
  }
  absl::Status Execute(const char* command, const nlohmann::json& arguments);
  absl::StatusOr<VmState> Look(absl::Time deadline);
  absl::StatusOr<GuestSize> Heard(absl::StatusOr<GuestSize> answer) {
    answer_ = answer.ok() ? std::optional(*answer) : std::nullopt;
    return answer;
  }
  absl::StatusOr<HotplugMemory> QueryMemory(absl::Time deadline);
  absl::Status AddMemoryDevice(int64_t requested_bytes);
  absl::Status SetRequestedSize(int64_t bytes);
  absl::Status AskOnceMore(int64_t plugged, int64_t requested);
  // Until QEMU's own figure is in these bounds as well.
  absl::Status AwaitPlugged(int64_t least_bytes, int64_t most_bytes);

  QmpClient& qmp_;
  GuestResources& guest_;
  Clock& clock_;
  const VmLimits& limits_;
  const VmResizerOptions& options_;
  const absl::Time deadline_;
  int64_t guest_boot_bytes_ = 0;
  // What the guest said after the last change at QEMU.
  std::optional<GuestSize> answer_;
};

}  // namespace podvisor

#endif  // PODVISOR_HOTPLUG_RESIZE_RUN_H_
