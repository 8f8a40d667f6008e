#include "sandbox/parts/network_membership.h"

#include <algorithm>
#include <string>

#include "base/log.h"
#include "base/status_macros.h"

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

NetworkRecorder NetworkMembership::Recorder() {
  return [this](const NetworkRecord& network) {
    return pod_->Change([&](PodRecord& record) {
      record.network_json = network.json;
      record.ips = network.ips;
    });
  };
}

// The VM holds its end of the cable whatever a plugin says of the other one.
void NetworkMembership::Check(absl::Time deadline) {
  const absl::Status checked =
      network_->Check(pod_->record().network_json,
                      std::min(deadline, clock_->Now() + kCheckTime));
  if (checked.ok()) return;
  Log(LogLevel::kWarning, "the network of a pod is not as it was",
      {{"sandbox_id", pod_->id().value()}, {"error", checked.message()}});
}

absl::StatusOr<NetworkMembership::Leaving> NetworkMembership::Leave(
    absl::Time deadline) {
  const absl::Status left =
      network_->Remove(pod_->id(), pod_->record().network_json, deadline);
  if (left.ok()) return Leaving::kLeft;
  const absl::Duration now = clock_->Elapsed();
  leaving_since_ = std::min(leaving_since_, now);
  if (now - leaving_since_ < kPatience) return left;
  Log(LogLevel::kError, "a pod ends although its network does not let it go",
      {{"sandbox_id", pod_->id().value()}, {"error", left.message()}});
  // What is in the namespace goes with it; no plugin is asked.
  RETURN_IF_ERROR(network_->Remove(pod_->id(), "", deadline));
  return Leaving::kGivenUp;
}

void NetworkMembership::LeaveAtLast() {
  const std::string network_json = pod_->record().network_json;
  if (network_json.empty()) return;
  const absl::Status left =
      network_->Remove(pod_->id(), network_json, clock_->Now() + kLastTime);
  if (left.ok()) return;
  Log(LogLevel::kError,
      "an address or a rule of a removed pod may still be taken",
      {{"sandbox_id", pod_->id().value()}, {"error", left.message()}});
}

}  // namespace podvisor
