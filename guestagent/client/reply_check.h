#ifndef PODVISOR_GUESTAGENT_CLIENT_REPLY_CHECK_H_
#define PODVISOR_GUESTAGENT_CLIENT_REPLY_CHECK_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "guestagent/agent.pb.h"
#include "guestagent/client/guest_resources.h"
#include "guestagent/client/guest_streams.h"

namespace podvisor {

// The border of the guest: what passes here is bounded and makes sense, which
// is not to say that it is true. Texts are cleaned and cut, times are moved
// into [0, now]; ids, sizes or counts that cannot be are DataLoss.
//
// Pure functions. Those with a pointer change the message in place.

// FailedPrecondition for another version of the protocol.
absl::Status CheckHello(agent::v1::HelloResponse* reply);

absl::StatusOr<GuestSize> CheckGuestResources(
    const agent::v1::GuestResources& reply);

absl::Status CheckCreated(const agent::v1::CreateContainerResponse& reply);

absl::Status CheckExit(absl::Time now, agent::v1::ContainerExit* exit);

absl::StatusOr<std::vector<agent::v1::ContainerState>> CheckContainers(
    absl::Time now, const agent::v1::ListContainersResponse& reply);

// Of a cgroup of which these files were asked for.
absl::Status CheckCgroup(const std::vector<std::string>& files,
                         const agent::v1::ReadCgroupResponse& reply);

absl::Status CheckStats(absl::Time now, agent::v1::GetStatsResponse* reply);

// Follows one StreamOutput call: chunks of each stream come in order, without
// gaps, at most 64 KiB each, and nothing after the end.
class OutputChecker {
 public:
  explicit OutputChecker(const OutputOffsets& begin) : received_(begin) {}

  absl::Status Check(const agent::v1::OutputChunk& chunk);

  // How far the output has been received.
  const OutputOffsets& received() const { return received_; }
  bool finished() const { return stdout_ended_ && stderr_ended_; }

 private:
  OutputOffsets received_;
  bool stdout_ended_ = false;
  bool stderr_ended_ = false;
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_CLIENT_REPLY_CHECK_H_
