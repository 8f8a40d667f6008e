// A pod and its network: what is stored of it, and how the pod leaves it.

#include <algorithm>
#include <string>
#include <utility>

#include "base/log.h"
#include "base/status_macros.h"
#include "sandbox/pod.h"

namespace podvisor {
namespace {

constexpr absl::Duration kCheckTime = absl::Seconds(3);
// A network that does not let a pod go mostly does soon: its plugins are being
// updated, or iptables is locked. One that never does must not keep the node
// from ever being rid of the pod.
constexpr absl::Duration kPatience = absl::Minutes(5);
// For the last attempt, when the pod is removed.
constexpr absl::Duration kLastTime = absl::Seconds(10);

}  // namespace

NetworkRecorder Pod::RecorderOfNetwork() {
  return [this](const NetworkRecord& network) {
    return stored_.Change([&](PodRecord& record) {
      record.network_json = network.json;
      record.ips = network.ips;
    });
  };
}

std::string Pod::NetworkJson() const { return stored_.record().network_json; }

// The VM holds its end of the cable whatever a plugin says of the other one.
void Pod::CheckNetwork(absl::Time deadline) {
  const absl::Status checked = services_.vm.network->Check(
      NetworkJson(),
      std::min(deadline, services_.vm.clock->Now() + kCheckTime));
  if (checked.ok()) return;
  Log(LogLevel::kWarning, "the network of a pod is not as it was",
      {{"sandbox_id", id().value()}, {"error", checked.message()}});
}

// After the VM: what it still sends must not meet another pod's addresses.
absl::StatusOr<Pod::Leaving> Pod::LeaveNetwork(absl::Time deadline) {
  const absl::Status left =
      services_.vm.network->Remove(id(), NetworkJson(), deadline);
  if (left.ok()) return Leaving::kLeft;
  const absl::Time now = services_.vm.clock->Now();
  leaving_since_ = std::min(leaving_since_, now);
  if (now - leaving_since_ < kPatience) return left;
  Log(LogLevel::kError, "a pod ends although its network does not let it go",
      {{"sandbox_id", id().value()}, {"error", left.message()}});
  // What is in the namespace goes with it; no plugin is asked.
  RETURN_IF_ERROR(services_.vm.network->Remove(id(), "", deadline));
  return Leaving::kGivenUp;
}

void Pod::LeaveNetworkAtLast() {
  const std::string network_json = NetworkJson();
  if (network_json.empty()) return;
  const absl::Status left = services_.vm.network->Remove(
      id(), network_json, services_.vm.clock->Now() + kLastTime);
  if (left.ok()) return;
  Log(LogLevel::kError,
      "an address or a rule of a removed pod may still be taken",
      {{"sandbox_id", id().value()}, {"error", left.message()}});
}

}  // namespace podvisor
