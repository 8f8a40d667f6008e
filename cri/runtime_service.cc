#include "cri/runtime_service.h"

#include <algorithm>
#include <stop_token>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/clean_text.h"
#include "base/status_macros.h"
#include "cri/convert_container.h"
#include "cri/convert_ids.h"
#include "cri/convert_pod.h"
#include "cri/convert_resources.h"
#include "cri/convert_status.h"
#include "cri/event_stream.h"
#include "cri/filters.h"
#include "cri/grpc_status.h"
#include "cri/seccomp_profile.h"
#include "cri/stream_list.h"
#include "cri/streaming_calls.h"
#include "cri/threaded_call.h"
#include "nlohmann/json.hpp"
#include "sandbox/pod/container_lifecycle.h"

namespace podvisor {
namespace {

using runtime::v1::RuntimeCondition;

// A client that waits until its deadline learns nothing but that: a part of
// its time is for taking back what was begun, and for the answer that says why.
constexpr absl::Duration kMostForTheAnswer = absl::Milliseconds(500);
// The same for a pod, whose VM has to be ended and cleared away.
constexpr absl::Duration kMostForAFailedBoot = absl::Seconds(2);
// For a client that sets no deadline of its own.
constexpr absl::Duration kNoDeadline = absl::Minutes(2);

void AddCondition(absl::string_view type, bool status, absl::string_view reason,
                  absl::string_view message, runtime::v1::RuntimeStatus* into) {
  RuntimeCondition* condition = into->add_conditions();
  condition->set_type(std::string(type));
  condition->set_status(status);
  condition->set_reason(std::string(reason));
  condition->set_message(std::string(message));
}

// Runs `call` and turns its status into gRPC's.
template <typename Call>
grpc::Status Answer(const Call& call) {
  return ToGrpcStatus(call());
}

bool HasDeadline(const grpc::ServerContextBase& context) {
  return context.deadline() != std::chrono::system_clock::time_point::max();
}

// Stop and Remove of what is not there is what the caller wanted.
absl::Status GoneIsFine(const absl::Status& status) {
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

}  // namespace

RuntimeService::RuntimeService(const RuntimeParts& parts, RuntimeFacts facts)
    : StatsService(parts.pods, parts.clock, facts.root_directory),
      pods_(parts.pods),
      health_(parts.health),
      network_health_(parts.network_health),
      events_(parts.events),
      streams_(parts.streams),
      clock_(parts.clock),
      facts_(std::move(facts)) {}

absl::Time RuntimeService::Deadline(
    const grpc::ServerContextBase& context) const {
  return DeadlineLeaving(kMostForTheAnswer, context);
}

absl::Time RuntimeService::DeadlineLeaving(
    absl::Duration most, const grpc::ServerContextBase& context) const {
  if (!HasDeadline(context)) return clock_->Now() + kNoDeadline;
  const absl::Time end = absl::FromChrono(context.deadline());
  const absl::Duration left =
      std::max(absl::ZeroDuration(), end - clock_->Now());
  return end - std::min(left / 16, most);
}

grpc::Status RuntimeService::Version(grpc::ServerContext*,
                                     const runtime::v1::VersionRequest*,
                                     runtime::v1::VersionResponse* response) {
  return Answer([&] {
    response->set_version("0.1.0");
    response->set_runtime_name("podvisor");
    response->set_runtime_version(facts_.version);
    response->set_runtime_api_version("v1");
    return absl::OkStatus();
  });
}

grpc::Status RuntimeService::Status(grpc::ServerContext*,
                                    const runtime::v1::StatusRequest* request,
                                    runtime::v1::StatusResponse* response) {
  return Answer([&] {
    const NodeHealth::Verdict verdict = health_->verdict();
    AddCondition("RuntimeReady", verdict.reason.empty(), verdict.reason,
                 CleanText(verdict.message), response->mutable_status());
    const NodeHealth::Verdict network = network_health_->verdict();
    AddCondition("NetworkReady", network.reason.empty(), network.reason,
                 CleanText(network.message), response->mutable_status());
    for (const char* name : {"", kRuntimeHandler}) {
      runtime::v1::RuntimeHandler* handler = response->add_runtime_handlers();
      handler->set_name(name);
      handler->mutable_features()->set_recursive_read_only_mounts(true);
      // The guest's kernel and OCI runtime are ours, and have them.
      handler->mutable_features()->set_user_namespaces(true);
    }
    response->mutable_features()->set_supplemental_groups_policy(true);
    response->mutable_features()->set_mount_options(true);
    if (request->verbose()) {
      const nlohmann::json info = {
          {"config", facts_.config_toml},
          {"accelerator", facts_.accelerator},
          {"acceleratorReason", facts_.accelerator_reason},
          {"seccompDefault",
           facts_.seccomp_default.ok()
               ? kDefaultSeccompPath
               : std::string(facts_.seccomp_default.status().message())}};
      (*response->mutable_info())["info"] =
          info.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    }
    return absl::OkStatus();
  });
}

grpc::Status RuntimeService::RuntimeConfig(
    grpc::ServerContext*, const runtime::v1::RuntimeConfigRequest*,
    runtime::v1::RuntimeConfigResponse* response) {
  return Answer([&] {
    response->mutable_linux()->set_cgroup_driver(
        facts_.systemd_cgroups ? runtime::v1::SYSTEMD : runtime::v1::CGROUPFS);
    return absl::OkStatus();
  });
}

grpc::Status RuntimeService::UpdateRuntimeConfig(
    grpc::ServerContext*, const runtime::v1::UpdateRuntimeConfigRequest*,
    runtime::v1::UpdateRuntimeConfigResponse*) {
  // The kubelet sends the node's pod CIDR; the CNI configuration decides here.
  return Answer([] { return absl::OkStatus(); });
}

grpc::Status RuntimeService::RunPodSandbox(
    grpc::ServerContext* context,
    const runtime::v1::RunPodSandboxRequest* request,
    runtime::v1::RunPodSandboxResponse* response) {
  return Answer([&]() -> absl::Status {
    ASSIGN_OR_RETURN(const PodSpec spec,
                     ConvertPod(request->config(), request->runtime_handler()));
    ASSIGN_OR_RETURN(
        const PodId id,
        pods_->RunPod(spec, DeadlineLeaving(kMostForAFailedBoot, *context)));
    response->set_pod_sandbox_id(id.value());
    return absl::OkStatus();
  });
}

grpc::Status RuntimeService::StopPodSandbox(
    grpc::ServerContext* context,
    const runtime::v1::StopPodSandboxRequest* request,
    runtime::v1::StopPodSandboxResponse*) {
  return Answer([&]() -> absl::Status {
    const auto pod = pods_->FindPod(request->pod_sandbox_id());
    if (!pod.ok()) return GoneIsFine(pod.status());
    return (*pod)->Stop(Deadline(*context));
  });
}

grpc::Status RuntimeService::RemovePodSandbox(
    grpc::ServerContext* context,
    const runtime::v1::RemovePodSandboxRequest* request,
    runtime::v1::RemovePodSandboxResponse*) {
  return Answer([&]() -> absl::Status {
    const auto pod = pods_->FindPod(request->pod_sandbox_id());
    if (!pod.ok()) return GoneIsFine(pod.status());
    return pods_->RemovePod(*pod, Deadline(*context));
  });
}

grpc::Status RuntimeService::PodSandboxStatus(
    grpc::ServerContext*, const runtime::v1::PodSandboxStatusRequest* request,
    runtime::v1::PodSandboxStatusResponse* response) {
  return Answer([&]() -> absl::Status {
    ASSIGN_OR_RETURN(const std::shared_ptr<Pod> pod,
                     pods_->FindPod(request->pod_sandbox_id()));
    const PodSnapshot snapshot = pod->Snapshot();
    *response->mutable_status() = ToPodSandboxStatus(snapshot);
    if (request->verbose()) {
      (*response->mutable_info())["info"] =
          PodInfoJson(snapshot, pod->resizer().Sizing());
    }
    return absl::OkStatus();
  });
}

grpc::Status RuntimeService::ListPodSandbox(
    grpc::ServerContext*, const runtime::v1::ListPodSandboxRequest* request,
    runtime::v1::ListPodSandboxResponse* response) {
  return Answer([&] {
    std::vector<PodSnapshot> all;
    for (const auto& pod : pods_->ListPods()) all.push_back(pod->Snapshot());
    for (const PodSnapshot* pod : FilterPods(request->filter(), all)) {
      *response->add_items() = ToPodSandbox(*pod);
    }
    return absl::OkStatus();
  });
}

grpc::Status RuntimeService::CreateContainer(
    grpc::ServerContext* context,
    const runtime::v1::CreateContainerRequest* request,
    runtime::v1::CreateContainerResponse* response) {
  const auto create = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const std::shared_ptr<Pod> pod,
                     pods_->FindPod(request->pod_sandbox_id()));
    ASSIGN_OR_RETURN(
        ConvertedContainer converted,
        ConvertContainer(request->config(), request->sandbox_config()));
    RETURN_IF_ERROR(
        CheckIdsOfPod(pod->spec().ids, request->config(), converted.spec));
    ASSIGN_OR_RETURN(
        converted.spec.security.seccomp_profile,
        LoadSeccompProfile(converted.seccomp, facts_.seccomp_default,
                           converted.spec.security));
    ASSIGN_OR_RETURN(
        const ContainerId id,
        pods_->CreateContainer(pod, converted.spec, Deadline(*context)));
    response->set_container_id(id.value());
    return absl::OkStatus();
  };
  return ToGrpcCreateStatus(create());
}

grpc::Status RuntimeService::StartContainer(
    grpc::ServerContext* context,
    const runtime::v1::StartContainerRequest* request,
    runtime::v1::StartContainerResponse*) {
  return Answer([&]() -> absl::Status {
    ASSIGN_OR_RETURN(const FoundContainer found,
                     pods_->FindContainer(request->container_id()));
    return podvisor::StartContainer(*found.pod, *found.container,
                                    Deadline(*context));
  });
}

grpc::Status RuntimeService::StopContainer(
    grpc::ServerContext* context,
    const runtime::v1::StopContainerRequest* request,
    runtime::v1::StopContainerResponse*) {
  return Answer([&]() -> absl::Status {
    if (request->timeout() < 0) {
      return absl::InvalidArgumentError("timeout: is negative");
    }
    const auto found = pods_->FindContainer(request->container_id());
    if (!found.ok()) return GoneIsFine(found.status());
    const absl::Duration grace = absl::Seconds(request->timeout());
    // Our own limit, for a client without one, begins after the grace.
    const absl::Time deadline =
        Deadline(*context) +
        (HasDeadline(*context) ? absl::ZeroDuration() : grace);
    return podvisor::StopContainer(*found->pod, *found->container, grace,
                                   deadline);
  });
}

grpc::Status RuntimeService::RemoveContainer(
    grpc::ServerContext* context,
    const runtime::v1::RemoveContainerRequest* request,
    runtime::v1::RemoveContainerResponse*) {
  return Answer([&]() -> absl::Status {
    const auto found = pods_->FindContainer(request->container_id());
    if (!found.ok()) return GoneIsFine(found.status());
    return pods_->RemoveContainer(*found, Deadline(*context));
  });
}

grpc::Status RuntimeService::ListContainers(
    grpc::ServerContext*, const runtime::v1::ListContainersRequest* request,
    runtime::v1::ListContainersResponse* response) {
  return Answer([&] {
    std::vector<ContainerSnapshot> all;
    for (const auto& container : pods_->ListContainers()) {
      all.push_back(container->Snapshot());
    }
    for (const ContainerSnapshot* container :
         FilterContainers(request->filter(), all, PodIds())) {
      *response->add_containers() = ToContainer(*container);
    }
    return absl::OkStatus();
  });
}

grpc::Status RuntimeService::ContainerStatus(
    grpc::ServerContext*, const runtime::v1::ContainerStatusRequest* request,
    runtime::v1::ContainerStatusResponse* response) {
  return Answer([&]() -> absl::Status {
    ASSIGN_OR_RETURN(const FoundContainer found,
                     pods_->FindContainer(request->container_id()));
    const ContainerSnapshot snapshot = found.container->Snapshot();
    *response->mutable_status() = ToContainerStatus(snapshot);
    if (request->verbose()) {
      (*response->mutable_info())["info"] = ContainerInfoJson(snapshot);
    }
    return absl::OkStatus();
  });
}

grpc::Status RuntimeService::UpdateContainerResources(
    grpc::ServerContext* context,
    const runtime::v1::UpdateContainerResourcesRequest* request,
    runtime::v1::UpdateContainerResourcesResponse*) {
  return Answer([&]() -> absl::Status {
    ASSIGN_OR_RETURN(const FoundContainer found,
                     pods_->FindContainer(request->container_id()));
    ASSIGN_OR_RETURN(const ContainerResources update,
                     ConvertResources(request->linux(), "linux"));
    return UpdateContainer(*found.pod, *found.container, update,
                           Deadline(*context));
  });
}

grpc::Status RuntimeService::UpdatePodSandboxResources(
    grpc::ServerContext* context,
    const runtime::v1::UpdatePodSandboxResourcesRequest* request,
    runtime::v1::UpdatePodSandboxResourcesResponse*) {
  return Answer([&]() -> absl::Status {
    ASSIGN_OR_RETURN(const std::shared_ptr<Pod> pod,
                     pods_->FindPod(request->pod_sandbox_id()));
    std::optional<ContainerResources> resources;
    std::optional<ContainerResources> overhead;
    if (request->has_resources()) {
      ASSIGN_OR_RETURN(resources,
                       ConvertResources(request->resources(), "resources"));
    }
    if (request->has_overhead()) {
      ASSIGN_OR_RETURN(overhead,
                       ConvertResources(request->overhead(), "overhead"));
    }
    return pod->resizer().UpdateTotals(resources, overhead, Deadline(*context));
  });
}

grpc::Status RuntimeService::ReopenContainerLog(
    grpc::ServerContext*, const runtime::v1::ReopenContainerLogRequest* request,
    runtime::v1::ReopenContainerLogResponse*) {
  return Answer([&]() -> absl::Status {
    ASSIGN_OR_RETURN(const FoundContainer found,
                     pods_->FindContainer(request->container_id()));
    return ReopenLog(*found.container);
  });
}

grpc::ServerUnaryReactor* RuntimeService::ExecSync(
    grpc::CallbackServerContext* context,
    const runtime::v1::ExecSyncRequest* request,
    runtime::v1::ExecSyncResponse* response) {
  return AnswerOnThread([=, this](const std::stop_token& gone) {
    return Answer([&]() -> absl::Status {
      if (request->timeout() < 0) {
        return absl::InvalidArgumentError("timeout: is negative");
      }
      ASSIGN_OR_RETURN(const FoundContainer found,
                       pods_->FindContainer(request->container_id()));
      // A hook of the kubelet has no timeout, in its request or in its call: it
      // may take as long as its client stays.
      absl::Time deadline =
          HasDeadline(*context) ? Deadline(*context) : absl::InfiniteFuture();
      if (request->timeout() > 0) {
        deadline = std::min(deadline,
                            clock_->Now() + absl::Seconds(request->timeout()));
      }
      ASSIGN_OR_RETURN(
          ExecSyncResult result,
          podvisor::ExecSync(*found.pod, *found.container,
                             {request->cmd().begin(), request->cmd().end()},
                             gone, deadline));
      response->set_exit_code(result.exit_code);
      response->set_stdout(std::move(result.stdout_data));
      response->set_stderr(std::move(result.stderr_data));
      return absl::OkStatus();
    });
  });
}

grpc::Status RuntimeService::Exec(grpc::ServerContext*,
                                  const runtime::v1::ExecRequest* request,
                                  runtime::v1::ExecResponse* response) {
  return Answer([&]() -> absl::Status {
    ASSIGN_OR_RETURN(StreamRequest checked, CheckExec(*pods_, *request));
    ASSIGN_OR_RETURN(*response->mutable_url(),
                     streams_->UrlFor(std::move(checked)));
    return absl::OkStatus();
  });
}

grpc::Status RuntimeService::Attach(grpc::ServerContext*,
                                    const runtime::v1::AttachRequest* request,
                                    runtime::v1::AttachResponse* response) {
  return Answer([&]() -> absl::Status {
    ASSIGN_OR_RETURN(StreamRequest checked, CheckAttach(*pods_, *request));
    ASSIGN_OR_RETURN(*response->mutable_url(),
                     streams_->UrlFor(std::move(checked)));
    return absl::OkStatus();
  });
}

grpc::Status RuntimeService::PortForward(
    grpc::ServerContext*, const runtime::v1::PortForwardRequest* request,
    runtime::v1::PortForwardResponse* response) {
  return Answer([&]() -> absl::Status {
    ASSIGN_OR_RETURN(StreamRequest checked, CheckPortForward(*pods_, *request));
    ASSIGN_OR_RETURN(*response->mutable_url(),
                     streams_->UrlFor(std::move(checked)));
    return absl::OkStatus();
  });
}

grpc::Status RuntimeService::StreamPodSandboxes(
    grpc::ServerContext* context,
    const runtime::v1::StreamPodSandboxesRequest* request,
    grpc::ServerWriter<runtime::v1::StreamPodSandboxesResponse>* writer) {
  runtime::v1::ListPodSandboxRequest list;
  *list.mutable_filter() = request->filter();
  runtime::v1::ListPodSandboxResponse all;
  const grpc::Status listed = ListPodSandbox(context, &list, &all);
  if (!listed.ok()) return listed;
  return StreamList(
      all.mutable_items(),
      [](auto& batch) { return batch.mutable_pod_sandboxes(); }, writer);
}

grpc::Status RuntimeService::StreamContainers(
    grpc::ServerContext* context,
    const runtime::v1::StreamContainersRequest* request,
    grpc::ServerWriter<runtime::v1::StreamContainersResponse>* writer) {
  runtime::v1::ListContainersRequest list;
  *list.mutable_filter() = request->filter();
  runtime::v1::ListContainersResponse all;
  const grpc::Status listed = ListContainers(context, &list, &all);
  if (!listed.ok()) return listed;
  return StreamList(
      all.mutable_containers(),
      [](auto& batch) { return batch.mutable_containers(); }, writer);
}

grpc::Status RuntimeService::GetContainerEvents(
    grpc::ServerContext* context, const runtime::v1::GetEventsRequest*,
    grpc::ServerWriter<runtime::v1::ContainerEventResponse>* writer) {
  return ToGrpcStatus(StreamEvents(
      *events_, *clock_, [&] { context->TryCancel(); },
      [&] { return context->IsCancelled(); },
      [&](const auto& event) { return writer->Write(event); }));
}

}  // namespace podvisor
