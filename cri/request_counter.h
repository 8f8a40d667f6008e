#ifndef PODVISOR_CRI_REQUEST_COUNTER_H_
#define PODVISOR_CRI_REQUEST_COUNTER_H_

#include "base/clock.h"
#include "grpcpp/support/server_interceptor.h"
#include "metrics/pod_metrics.h"

namespace podvisor {

// Counts and times every call of a gRPC server, whichever service it is of and
// also where nobody has implemented it: give this to
// ServerBuilder::experimental().SetInterceptorCreators().
//
// The label is the bare name of the method ("PullImage"): CRI's services share
// none, and a method that no service has registered never comes here.
//
// Thread-safe. Borrows both, which outlive the server.
class RequestCounter final
    : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  RequestCounter(PodMetrics* metrics, Clock* clock)
      : metrics_(metrics), clock_(clock) {}

  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override;

 private:
  PodMetrics* const metrics_;
  Clock* const clock_;
};

}  // namespace podvisor

#endif  // PODVISOR_CRI_REQUEST_COUNTER_H_
