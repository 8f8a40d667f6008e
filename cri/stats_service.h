#ifndef PODVISOR_CRI_STATS_SERVICE_H_
#define PODVISOR_CRI_STATS_SERVICE_H_

#include <string>
#include <vector>

#include "base/clock.h"
#include "sandbox/pod/pod_manager.h"
#include "third_party/cri_api/api.grpc.pb.h"

namespace podvisor {

// The part of CRI's RuntimeService that tells what pods and containers use.
//
// Lists are answered from the daemon's own memory; a call has a sample taken
// for the next one. ContainerStats of a container that was never sampled waits
// a second for its guest. Thread-safe. Borrows the pods and the clock.
//
// Its base prepares ExecSync for AnswerOnThread(); all else is gRPC's blocking
// API.
class StatsService
    : public runtime::v1::RuntimeService::WithCallbackMethod_ExecSync<
          runtime::v1::RuntimeService::Service> {
 public:
  // `writable_layers_directory`: see ToContainerStats().
  StatsService(PodManager* pods, Clock* clock,
               std::string writable_layers_directory);

  grpc::Status ContainerStats(
      grpc::ServerContext* context,
      const runtime::v1::ContainerStatsRequest* request,
      runtime::v1::ContainerStatsResponse* response) final;
  grpc::Status ListContainerStats(
      grpc::ServerContext* context,
      const runtime::v1::ListContainerStatsRequest* request,
      runtime::v1::ListContainerStatsResponse* response) final;
  grpc::Status StreamContainerStats(
      grpc::ServerContext* context,
      const runtime::v1::StreamContainerStatsRequest* request,
      grpc::ServerWriter<runtime::v1::StreamContainerStatsResponse>* writer)
      final;
  grpc::Status PodSandboxStats(
      grpc::ServerContext* context,
      const runtime::v1::PodSandboxStatsRequest* request,
      runtime::v1::PodSandboxStatsResponse* response) final;
  grpc::Status ListPodSandboxStats(
      grpc::ServerContext* context,
      const runtime::v1::ListPodSandboxStatsRequest* request,
      runtime::v1::ListPodSandboxStatsResponse* response) final;
  grpc::Status StreamPodSandboxStats(
      grpc::ServerContext* context,
      const runtime::v1::StreamPodSandboxStatsRequest* request,
      grpc::ServerWriter<runtime::v1::StreamPodSandboxStatsResponse>* writer)
      final;
  grpc::Status ListMetricDescriptors(
      grpc::ServerContext* context,
      const runtime::v1::ListMetricDescriptorsRequest* request,
      runtime::v1::ListMetricDescriptorsResponse* response) final;
  grpc::Status ListPodSandboxMetrics(
      grpc::ServerContext* context,
      const runtime::v1::ListPodSandboxMetricsRequest* request,
      runtime::v1::ListPodSandboxMetricsResponse* response) final;
  grpc::Status StreamPodSandboxMetrics(
      grpc::ServerContext* context,
      const runtime::v1::StreamPodSandboxMetricsRequest* request,
      grpc::ServerWriter<runtime::v1::StreamPodSandboxMetricsResponse>* writer)
      final;

 protected:
  // Of all pods, to resolve the ids of requests.
  std::vector<PodId> PodIds() const;

 private:
  PodManager* const pods_;
  Clock* const clock_;
  const std::string writable_layers_directory_;
};

}  // namespace podvisor

#endif  // PODVISOR_CRI_STATS_SERVICE_H_
