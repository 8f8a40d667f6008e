#include "cri/cri_client.h"

#include <grpcpp/grpcpp.h>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/clean_text.h"
#include "base/status_macros.h"
#include "third_party/cri_api/api.grpc.pb.h"

namespace podvisor {
namespace {

// kubelet's: a boot may wait its turn behind others.
constexpr absl::Duration kRunTimeout = absl::Minutes(4);
constexpr absl::Duration kTimeout = absl::Minutes(2);
constexpr absl::Duration kPullTimeout = absl::Minutes(30);
constexpr absl::Duration kQueryTimeout = absl::Seconds(10);
constexpr int kMaxMessageBytes = 16 << 20;
// A daemon that was restarted is found again within this time; gRPC's own
// choice would be two minutes.
constexpr int kMaxReconnectMillis = 1000;

class GrpcCriClient final : public CriClient {
 public:
  explicit GrpcCriClient(const std::string& socket) : socket_(socket) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
    arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, "localhost");
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kMaxReconnectMillis);
    const auto channel = grpc::CreateCustomChannel(
        absl::StrCat("unix:", socket), grpc::InsecureChannelCredentials(),
        arguments);
    runtime_ = runtime::v1::RuntimeService::NewStub(channel);
    images_ = runtime::v1::ImageService::NewStub(channel);
  }

  absl::StatusOr<std::string> PullImage(const std::string& image) override {
    runtime::v1::PullImageRequest request;
    request.mutable_image()->set_image(image);
    runtime::v1::PullImageResponse response;
    grpc::ClientContext context;
    SetTimeout(context, kPullTimeout);
    RETURN_IF_ERROR(ToStatus(images_->PullImage(&context, request, &response)));
    return response.image_ref();
  }

  absl::StatusOr<std::string> RunPod(
      const runtime::v1::PodSandboxConfig& config,
      const std::string& runtime_handler) override {
    runtime::v1::RunPodSandboxRequest request;
    *request.mutable_config() = config;
    request.set_runtime_handler(runtime_handler);
    runtime::v1::RunPodSandboxResponse response;
    grpc::ClientContext context;
    SetTimeout(context, kRunTimeout);
    RETURN_IF_ERROR(
        ToStatus(runtime_->RunPodSandbox(&context, request, &response)));
    return response.pod_sandbox_id();
  }

  absl::StatusOr<std::string> RunContainer(
      const std::string& pod_id, const runtime::v1::ContainerConfig& config,
      const runtime::v1::PodSandboxConfig& pod) override {
    runtime::v1::CreateContainerRequest create;
    create.set_pod_sandbox_id(pod_id);
    *create.mutable_config() = config;
    *create.mutable_sandbox_config() = pod;
    runtime::v1::CreateContainerResponse created;
    grpc::ClientContext create_context;
    SetTimeout(create_context, kTimeout);
    RETURN_IF_ERROR(
        ToStatus(runtime_->CreateContainer(&create_context, create, &created)));

    runtime::v1::StartContainerRequest start;
    start.set_container_id(created.container_id());
    runtime::v1::StartContainerResponse started;
    grpc::ClientContext start_context;
    SetTimeout(start_context, kTimeout);
    RETURN_IF_ERROR(
        ToStatus(runtime_->StartContainer(&start_context, start, &started)));
    return created.container_id();
  }

  absl::Status RemovePod(const std::string& pod_id) override {
    runtime::v1::StopPodSandboxRequest stop;
    stop.set_pod_sandbox_id(pod_id);
    runtime::v1::StopPodSandboxResponse stopped;
    grpc::ClientContext stop_context;
    SetTimeout(stop_context, kTimeout);
    RETURN_IF_ERROR(
        ToStatus(runtime_->StopPodSandbox(&stop_context, stop, &stopped)));

    runtime::v1::RemovePodSandboxRequest remove;
    remove.set_pod_sandbox_id(pod_id);
    runtime::v1::RemovePodSandboxResponse removed;
    grpc::ClientContext remove_context;
    SetTimeout(remove_context, kTimeout);
    return ToStatus(
        runtime_->RemovePodSandbox(&remove_context, remove, &removed));
  }

  absl::StatusOr<std::vector<runtime::v1::PodSandbox>> ListPods() override {
    runtime::v1::ListPodSandboxResponse response;
    grpc::ClientContext context;
    SetTimeout(context, kQueryTimeout);
    RETURN_IF_ERROR(
        ToStatus(runtime_->ListPodSandbox(&context, {}, &response)));
    return std::vector<runtime::v1::PodSandbox>(response.items().begin(),
                                                response.items().end());
  }

  absl::StatusOr<runtime::v1::PodSandboxStatusResponse> PodStatus(
      const std::string& pod_id) override {
    runtime::v1::PodSandboxStatusRequest request;
    request.set_pod_sandbox_id(pod_id);
    request.set_verbose(true);
    runtime::v1::PodSandboxStatusResponse response;
    grpc::ClientContext context;
    SetTimeout(context, kQueryTimeout);
    RETURN_IF_ERROR(
        ToStatus(runtime_->PodSandboxStatus(&context, request, &response)));
    return response;
  }

  absl::StatusOr<std::vector<runtime::v1::Container>> ListContainers(
      const std::string& pod_id) override {
    runtime::v1::ListContainersRequest request;
    request.mutable_filter()->set_pod_sandbox_id(pod_id);
    runtime::v1::ListContainersResponse response;
    grpc::ClientContext context;
    SetTimeout(context, kQueryTimeout);
    RETURN_IF_ERROR(
        ToStatus(runtime_->ListContainers(&context, request, &response)));
    return std::vector<runtime::v1::Container>(response.containers().begin(),
                                               response.containers().end());
  }

  absl::StatusOr<runtime::v1::ContainerStatus> ContainerStatus(
      const std::string& container_id) override {
    runtime::v1::ContainerStatusRequest request;
    request.set_container_id(container_id);
    runtime::v1::ContainerStatusResponse response;
    grpc::ClientContext context;
    SetTimeout(context, kQueryTimeout);
    RETURN_IF_ERROR(
        ToStatus(runtime_->ContainerStatus(&context, request, &response)));
    return response.status();
  }

 private:
  static void SetTimeout(grpc::ClientContext& context, absl::Duration timeout) {
    context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
  }

  // The numbers of the codes agree.
  absl::Status ToStatus(const grpc::Status& status) const {
    if (status.ok()) return absl::OkStatus();
    const auto code = static_cast<absl::StatusCode>(status.error_code());
    if (absl::StatusCode::kUnavailable == code) {
      return absl::UnavailableError(
          absl::StrCat(socket_, ": podvisord does not answer; is it running? (",
                       CleanText(status.error_message(), 512), ")"));
    }
    return absl::Status(code, CleanText(status.error_message()));
  }

  std::string socket_;
  std::unique_ptr<runtime::v1::RuntimeService::Stub> runtime_;
  std::unique_ptr<runtime::v1::ImageService::Stub> images_;
};

}  // namespace

std::unique_ptr<CriClient> ConnectCri(const std::string& socket) {
  return std::make_unique<GrpcCriClient>(socket);
}

}  // namespace podvisor
