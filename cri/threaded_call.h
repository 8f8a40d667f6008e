#ifndef PODVISOR_CRI_THREADED_CALL_H_
#define PODVISOR_CRI_THREADED_CALL_H_

#include <functional>
#include <stop_token>

#include "grpcpp/support/server_callback.h"

namespace podvisor {

// Answers a unary call of gRPC's callback API with what `work` returns, which
// runs on a thread of its own and may block. Its token is stopped at once when
// the client leaves, its deadline passes, or the server ends: the blocking API
// has to be asked for that again and again.
//
// The call's context, request and response live until `work` has returned; so
// does the server.
grpc::ServerUnaryReactor* AnswerOnThread(
    std::function<grpc::Status(std::stop_token gone)> work);

}  // namespace podvisor

#endif  // PODVISOR_CRI_THREADED_CALL_H_
