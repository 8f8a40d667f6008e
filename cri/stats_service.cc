#include "cri/stats_service.h"

#include <utility>

#include "base/status_macros.h"
#include "cri/convert_pod_metrics.h"
#include "cri/convert_pod_stats.h"
#include "cri/convert_status.h"
#include "cri/filters.h"
#include "cri/grpc_status.h"
#include "cri/stream_list.h"

namespace podvisor {
namespace {

// The first sample of a container that has just been started is taken when it
// is asked for; later ones come from the sampler.
constexpr absl::Duration kFirstSampleTimeout = absl::Seconds(1);
// Every call has a sample taken for the next one: crictl takes the difference
// of two answers, a second apart, and fails where both show the same sample.
constexpr absl::Duration kFreshSample = absl::ZeroDuration();

std::vector<ContainerStatsSnapshot> StatsOf(
    const std::vector<std::shared_ptr<Container>>& containers) {
  std::vector<ContainerStatsSnapshot> stats;
  for (const auto& container : containers) {
    stats.push_back(container->StatsSnapshot());
  }
  return stats;
}

}  // namespace

StatsService::StatsService(PodManager* pods, Clock* clock,
                           std::string writable_layers_directory)
    : pods_(pods),
      clock_(clock),
      writable_layers_directory_(std::move(writable_layers_directory)) {}

std::vector<PodId> StatsService::PodIds() const {
  std::vector<PodId> ids;
  for (const auto& pod : pods_->ListPods()) ids.push_back(pod->id());
  return ids;
}

grpc::Status StatsService::ContainerStats(
    grpc::ServerContext*, const runtime::v1::ContainerStatsRequest* request,
    runtime::v1::ContainerStatsResponse* response) {
  const auto answer = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const FoundContainer found,
                     pods_->FindContainer(request->container_id()));
    PodSampler& sampler = found.pod->sampler();
    ContainerStatsSnapshot snapshot = found.container->StatsSnapshot();
    if (snapshot.usage.timestamp == absl::InfinitePast()) {
      RETURN_IF_ERROR(sampler.Sample(clock_->Now() + kFirstSampleTimeout));
      snapshot = found.container->StatsSnapshot();
    }
    sampler.SampleIfOlderThan(kFreshSample);
    *response->mutable_stats() =
        ToContainerStats(snapshot, writable_layers_directory_);
    return absl::OkStatus();
  };
  return ToGrpcStatus(answer());
}

grpc::Status StatsService::ListContainerStats(
    grpc::ServerContext*, const runtime::v1::ListContainerStatsRequest* request,
    runtime::v1::ListContainerStatsResponse* response) {
  for (const auto& pod : pods_->ListPods()) {
    pod->sampler().SampleIfOlderThan(kFreshSample);
  }
  const std::vector<ContainerStatsSnapshot> all =
      StatsOf(pods_->ListContainers());
  for (const ContainerStatsSnapshot* stats :
       FilterStats(request->filter(), all, PodIds())) {
    *response->add_stats() =
        ToContainerStats(*stats, writable_layers_directory_);
  }
  return grpc::Status::OK;
}

grpc::Status StatsService::StreamContainerStats(
    grpc::ServerContext* context,
    const runtime::v1::StreamContainerStatsRequest* request,
    grpc::ServerWriter<runtime::v1::StreamContainerStatsResponse>* writer) {
  runtime::v1::ListContainerStatsRequest list;
  *list.mutable_filter() = request->filter();
  runtime::v1::ListContainerStatsResponse all;
  const grpc::Status listed = ListContainerStats(context, &list, &all);
  if (!listed.ok()) return listed;
  return StreamList(
      all.mutable_stats(),
      [](auto& batch) { return batch.mutable_container_stats(); }, writer);
}

grpc::Status StatsService::PodSandboxStats(
    grpc::ServerContext*, const runtime::v1::PodSandboxStatsRequest* request,
    runtime::v1::PodSandboxStatsResponse* response) {
  const auto answer = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const std::shared_ptr<Pod> pod,
                     pods_->FindPod(request->pod_sandbox_id()));
    pod->sampler().SampleIfOlderThan(kFreshSample);
    *response->mutable_stats() =
        ToPodSandboxStats(pod->Snapshot(), StatsOf(pod->containers().All()),
                          writable_layers_directory_);
    return absl::OkStatus();
  };
  return ToGrpcStatus(answer());
}

grpc::Status StatsService::ListPodSandboxStats(
    grpc::ServerContext*,
    const runtime::v1::ListPodSandboxStatsRequest* request,
    runtime::v1::ListPodSandboxStatsResponse* response) {
  const std::vector<std::shared_ptr<Pod>> all = pods_->ListPods();
  std::vector<PodSnapshot> pods;
  for (const auto& pod : all) {
    pod->sampler().SampleIfOlderThan(kFreshSample);
    pods.push_back(pod->Snapshot());
  }
  runtime::v1::PodSandboxFilter ready;
  ready.set_id(request->filter().id());
  *ready.mutable_label_selector() = request->filter().label_selector();
  ready.mutable_state()->set_state(runtime::v1::SANDBOX_READY);
  for (const PodSnapshot* pod : FilterPods(ready, pods)) {
    const auto containers = all[pod - pods.data()]->containers().All();
    *response->add_stats() = ToPodSandboxStats(*pod, StatsOf(containers),
                                               writable_layers_directory_);
  }
  return grpc::Status::OK;
}

grpc::Status StatsService::StreamPodSandboxStats(
    grpc::ServerContext* context,
    const runtime::v1::StreamPodSandboxStatsRequest* request,
    grpc::ServerWriter<runtime::v1::StreamPodSandboxStatsResponse>* writer) {
  runtime::v1::ListPodSandboxStatsRequest list;
  *list.mutable_filter() = request->filter();
  runtime::v1::ListPodSandboxStatsResponse all;
  const grpc::Status listed = ListPodSandboxStats(context, &list, &all);
  if (!listed.ok()) return listed;
  return StreamList(
      all.mutable_stats(),
      [](auto& batch) { return batch.mutable_pod_sandbox_stats(); }, writer);
}

grpc::Status StatsService::ListMetricDescriptors(
    grpc::ServerContext*, const runtime::v1::ListMetricDescriptorsRequest*,
    runtime::v1::ListMetricDescriptorsResponse* response) {
  for (runtime::v1::MetricDescriptor& descriptor : MetricDescriptors()) {
    *response->add_descriptors() = std::move(descriptor);
  }
  return grpc::Status::OK;
}

grpc::Status StatsService::ListPodSandboxMetrics(
    grpc::ServerContext*, const runtime::v1::ListPodSandboxMetricsRequest*,
    runtime::v1::ListPodSandboxMetricsResponse* response) {
  for (const auto& pod : pods_->ListPods()) {
    pod->sampler().SampleIfOlderThan(kFreshSample);
    const PodSnapshot snapshot = pod->Snapshot();
    if (snapshot.state != SandboxState::kReady) continue;
    *response->add_pod_metrics() =
        ToPodSandboxMetrics(snapshot, StatsOf(pod->containers().All()));
  }
  return grpc::Status::OK;
}

grpc::Status StatsService::StreamPodSandboxMetrics(
    grpc::ServerContext* context,
    const runtime::v1::StreamPodSandboxMetricsRequest*,
    grpc::ServerWriter<runtime::v1::StreamPodSandboxMetricsResponse>* writer) {
  runtime::v1::ListPodSandboxMetricsResponse all;
  const grpc::Status listed = ListPodSandboxMetrics(context, {}, &all);
  if (!listed.ok()) return listed;
  return StreamList(
      all.mutable_pod_metrics(),
      [](auto& batch) { return batch.mutable_pod_sandbox_metrics(); }, writer);
}

}  // namespace podvisor
