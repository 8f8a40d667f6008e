#ifndef PODVISOR_CRI_STREAMING_CALLS_H_
#define PODVISOR_CRI_STREAMING_CALLS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "cri/streaming/stream_backend.h"
#include "cri/streaming/stream_request.h"
#include "sandbox/pod/pod_manager.h"
#include "third_party/cri_api/api.pb.h"

namespace podvisor {

// Which container or pod a request for a URL means, once it is sure that it can
// be served now. NotFound; FailedPrecondition: it does not run;
// InvalidArgument: no streams, a terminal with a separate standard error, or
// what is no port.
absl::StatusOr<StreamRequest> CheckExec(
    const PodManager& pods, const runtime::v1::ExecRequest& request);
absl::StatusOr<StreamRequest> CheckAttach(
    const PodManager& pods, const runtime::v1::AttachRequest& request);
absl::StatusOr<StreamRequest> CheckPortForward(
    const PodManager& pods, const runtime::v1::PortForwardRequest& request);

// The pods, as the streaming server wants them. Thread-safe. Borrows.
class PodStreams final : public StreamBackend {
 public:
  explicit PodStreams(PodManager* pods) : pods_(pods) {}

  absl::StatusOr<int> Exec(const ExecStreamRequest& request,
                           StreamPeer* peer) override;
  absl::StatusOr<int> Attach(const AttachStreamRequest& request,
                             StreamPeer* peer) override;
  absl::Status PortForward(const PodId& pod, uint16_t port,
                           StreamPeer* peer) override;

 private:
  PodManager* const pods_;
};

}  // namespace podvisor

#endif  // PODVISOR_CRI_STREAMING_CALLS_H_
