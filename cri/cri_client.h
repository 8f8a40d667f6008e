#ifndef PODVISOR_CRI_CRI_CLIENT_H_
#define PODVISOR_CRI_CRI_CLIENT_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "third_party/cri_api/api.pb.h"

namespace podvisor {

// The calls to a CRI server that podvisorctl makes, as a client like any other.
//
// Not thread-safe. Errors are the server's own; Unavailable when nobody listens
// on the socket.
class CriClient {
 public:
  virtual ~CriClient() = default;

  virtual absl::StatusOr<std::string> PullImage(const std::string& image) = 0;
  virtual absl::StatusOr<std::string> RunPod(
      const runtime::v1::PodSandboxConfig& config,
      const std::string& runtime_handler) = 0;
  virtual absl::StatusOr<std::string> RunContainer(
      const std::string& pod_id, const runtime::v1::ContainerConfig& config,
      const runtime::v1::PodSandboxConfig& pod) = 0;
  // Stops and removes.
  virtual absl::Status RemovePod(const std::string& pod_id) = 0;
  virtual absl::StatusOr<std::vector<runtime::v1::PodSandbox>> ListPods() = 0;
  // The verbose status.
  virtual absl::StatusOr<runtime::v1::PodSandboxStatusResponse> PodStatus(
      const std::string& pod_id) = 0;
  virtual absl::StatusOr<std::vector<runtime::v1::Container>> ListContainers(
      const std::string& pod_id) = 0;
  virtual absl::StatusOr<runtime::v1::ContainerStatus> ContainerStatus(
      const std::string& container_id) = 0;
};

std::unique_ptr<CriClient> ConnectCri(const std::string& socket);

}  // namespace podvisor

#endif  // PODVISOR_CRI_CRI_CLIENT_H_
