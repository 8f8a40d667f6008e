#ifndef PODVISOR_GUESTAGENT_CLIENT_RPC_STATUS_H_
#define PODVISOR_GUESTAGENT_CLIENT_RPC_STATUS_H_

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

namespace podvisor {

// The agent's or gRPC's verdict as ours: the same code, a bounded and cleaned
// message. Differs where the code would mislead a caller: a message over the
// size limit is DataLoss, a stream that the peer reset is Unavailable, and an
// unknown code is Internal. Pure.
absl::Status FromRpcStatus(const grpc::Status& status);

}  // namespace podvisor

#endif  // PODVISOR_GUESTAGENT_CLIENT_RPC_STATUS_H_
