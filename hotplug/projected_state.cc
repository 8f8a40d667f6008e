#include "hotplug/projected_state.h"

#include <algorithm>
#include <cstdint>
#include <variant>
#include <vector>

#include "absl/algorithm/container.h"

namespace podvisor {
namespace {

class Projection {
 public:
  explicit Projection(VmState* state) : state_(*state) {}

  void operator()(const RequestMemory& step) {
    state_.hotplug_requested_bytes = step.hotplug_bytes;
  }
  void operator()(const PlugDimm& step) {
    state_.dimms.push_back(step.dimm);
    absl::c_sort(state_.dimms,
                 [](const Dimm& a, const Dimm& b) { return a.slot < b.slot; });
    CountDimms();
  }
  void operator()(const UnplugDimm& step) {
    std::erase_if(state_.dimms,
                  [&](const Dimm& dimm) { return dimm.slot == step.slot; });
    CountDimms();
    Online(state_.hotplug_plugged_bytes);
  }
  void operator()(const PlugVcpus& step) {
    state_.vcpus_removable += step.vcpus - state_.vcpus_plugged;
    state_.vcpus_plugged = step.vcpus;
  }
  void operator()(const OnlineVcpus& step) { state_.vcpus_online = step.vcpus; }
  // More may be there already.
  void operator()(const AwaitMemoryGrown& step) {
    Arrive(std::max(state_.hotplug_plugged_bytes, step.hotplug_bytes));
  }
  void operator()(const OfflineVcpus& step) {
    state_.vcpus_online = step.vcpus;
  }
  // What is free in the guest is no part of a VM's size.
  void operator()(const ReclaimMemory&) {}
  void operator()(const UnplugVcpus& step) {
    state_.vcpus_removable -= state_.vcpus_plugged - step.vcpus;
    state_.vcpus_plugged = step.vcpus;
  }
  void operator()(const AwaitMemoryShrunk& step) { Arrive(step.hotplug_bytes); }

 private:
  void CountDimms() {
    int64_t bytes = 0;
    for (const Dimm& dimm : state_.dimms) bytes += dimm.bytes;
    state_.hotplug_requested_bytes = bytes;
    state_.hotplug_plugged_bytes = bytes;
  }
  void Arrive(int64_t hotplug_bytes) {
    state_.hotplug_plugged_bytes = hotplug_bytes;
    Online(hotplug_bytes);
  }
  // Memory that comes online is free; what goes was.
  void Online(int64_t hotplug_bytes) {
    const int64_t more = hotplug_bytes - state_.hotplug_online_bytes;
    for (int64_t* bytes :
         {&state_.guest_available_bytes, &state_.guest_free_bytes}) {
      *bytes = std::max<int64_t>(0, *bytes + more);
    }
    state_.hotplug_online_bytes = hotplug_bytes;
  }

  VmState& state_;
};

}  // namespace

VmState StateAfter(const ResizePlan& plan, VmState state) {
  Projection projection(&state);
  for (const ResizeStep& step : plan.steps) std::visit(projection, step);
  return state;
}

}  // namespace podvisor
