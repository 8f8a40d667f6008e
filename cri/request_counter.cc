#include "cri/request_counter.h"

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace podvisor {
namespace {

using grpc::experimental::InterceptionHookPoints;

// "/runtime.v1.ImageService/PullImage" -> "PullImage".
std::string BareName(absl::string_view method) {
  return std::string(method.substr(method.rfind('/') + 1));
}

// One call, from when it was taken up until its status is on its way.
class CallCounter final : public grpc::experimental::Interceptor {
 public:
  CallCounter(PodMetrics* metrics, Clock* clock, std::string method)
      : metrics_(metrics),
        clock_(clock),
        method_(std::move(method)),
        start_(clock->Elapsed()) {}

  void Intercept(grpc::experimental::InterceptorBatchMethods* batch) override {
    if (batch->QueryInterceptionHookPoint(
            InterceptionHookPoints::PRE_SEND_STATUS)) {
      // gRPC's codes have the numbers of Abseil's.
      const auto code =
          static_cast<absl::StatusCode>(batch->GetSendStatus().error_code());
      metrics_->CountCriRequest(method_, absl::StatusCodeToString(code),
                                clock_->Elapsed() - start_);
    }
    batch->Proceed();
  }

 private:
  PodMetrics* const metrics_;
  Clock* const clock_;
  const std::string method_;
  const absl::Duration start_;
};

}  // namespace

grpc::experimental::Interceptor* RequestCounter::CreateServerInterceptor(
    grpc::experimental::ServerRpcInfo* info) {
  return new CallCounter(metrics_, clock_, BareName(info->method()));
}

}  // namespace podvisor
