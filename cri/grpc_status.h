#ifndef PODVISOR_CRI_GRPC_STATUS_H_
#define PODVISOR_CRI_GRPC_STATUS_H_

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

namespace podvisor {

// The one way an error leaves the daemon: the same code with a cleaned, bounded
// message. A client acts on the code (kubelet skips NotFound, retries
// Unavailable), so UNKNOWN never leaves: it becomes INTERNAL.
grpc::Status ToGrpcStatus(const absl::Status& status);

// As above, for CreateContainer only. What is wrong with an image volume is
// said from kImageVolumeMountFailed of image_store.h on: kubelet looks for that
// word at the beginning.
grpc::Status ToGrpcCreateStatus(const absl::Status& status);

// As above, for PullImage only. kubelet recognises two failures by the start of
// the message and wants them as UNKNOWN: "RegistryUnavailable" (every
// Unavailable becomes one) and kSignatureValidationFailed of image_store.h.
grpc::Status ToGrpcPullStatus(const absl::Status& status);

}  // namespace podvisor

#endif  // PODVISOR_CRI_GRPC_STATUS_H_
