#ifndef PODVISOR_GUESTAGENT_CLIENT_GUEST_CONTAINERS_H_
#define PODVISOR_GUESTAGENT_CLIENT_GUEST_CONTAINERS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/ids.h"
#include "guestagent/agent.pb.h"

namespace podvisor {

// The agent's face towards sandbox/ for the pod and its containers. The
// messages are those of agent.proto; ids and texts in replies are bounded and
// cleaned, and a reply for another id than asked is DataLoss.
//
// Thread-safe. Errors: those of agent.proto, plus Unavailable (no agent) and
// DeadlineExceeded.
class GuestSandbox {
 public:
  virtual ~GuestSandbox() = default;

  virtual absl::StatusOr<agent::v1::HelloResponse> Hello(
      absl::Time deadline) = 0;
  virtual absl::Status ConfigureSandbox(
      const agent::v1::ConfigureSandboxRequest& request,
      absl::Time deadline) = 0;
  virtual absl::Status ConfigureNetwork(
      const agent::v1::ConfigureNetworkRequest& request,
      absl::Time deadline) = 0;
  // `fs_type` is "squashfs"; `image` 64 hex digits.
  virtual absl::Status MountImage(absl::string_view serial,
                                  absl::string_view image,
                                  absl::string_view fs_type,
                                  absl::Time deadline) = 0;
  virtual absl::Status UnmountImage(absl::string_view image,
                                    absl::Time deadline) = 0;
  virtual absl::Status MountShare(absl::string_view tag,
                                  absl::Time deadline) = 0;
  // OK also when the connection broke: the VM may be gone before the reply.
  virtual absl::Status PowerOff(absl::Time deadline) = 0;
};

class GuestContainers {
 public:
  virtual ~GuestContainers() = default;

  virtual absl::StatusOr<agent::v1::CreateContainerResponse> Create(
      const ContainerId& id, const agent::v1::ContainerSpec& spec,
      absl::Time deadline) = 0;
  virtual absl::Status Start(const ContainerId& id, absl::Time deadline) = 0;
  virtual absl::Status Signal(const ContainerId& id, int signal,
                              bool all_processes, absl::Time deadline) = 0;
  virtual absl::Status Update(const ContainerId& id,
                              const agent::v1::LinuxResources& resources,
                              absl::Time deadline) = 0;
  virtual absl::Status Delete(const ContainerId& id, absl::Time deadline) = 0;
  virtual absl::StatusOr<std::vector<agent::v1::ContainerState>> List(
      absl::Time deadline) = 0;
  virtual absl::StatusOr<agent::v1::GetStatsResponse> Stats(
      absl::Time deadline) = 0;
};

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_CLIENT_GUEST_CONTAINERS_H_
