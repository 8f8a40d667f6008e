// The code of each call's refusal tells a client what to do next: unknown ids,
// wrong states, calls that are not built.

#include <string>

#include "e2e/test_node.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podvisor::e2e {
namespace {

using grpc::StatusCode;
using Runtime = cri::RuntimeService::Stub;

constexpr char kUnknown[] = "2b0f6a3e2b0f6a3e2b0f6a3e2b0f6a3e";

class ErrorCodesE2eTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { node_ = new TestNode(); }
  static void TearDownTestSuite() { delete node_; }

  template <typename Request, typename Response>
  grpc::Status Ask(grpc::Status (Runtime::*rpc)(grpc::ClientContext*,
                                                const Request&, Response*),
                   const Request& request) {
    Call call;
    Response response;
    return (node_->runtime().*rpc)(&call, request, &response);
  }

  // The answer for a request that is empty but for the id of a container.
  template <typename Request, typename Response>
  StatusCode OfContainer(grpc::Status (Runtime::*rpc)(grpc::ClientContext*,
                                                      const Request&,
                                                      Response*),
                         const std::string& id) {
    Request request;
    request.set_container_id(id);
    return Ask(rpc, request).error_code();
  }

  template <typename Request, typename Response>
  StatusCode OfPod(grpc::Status (Runtime::*rpc)(grpc::ClientContext*,
                                                const Request&, Response*),
                   const std::string& id) {
    Request request;
    request.set_pod_sandbox_id(id);
    return Ask(rpc, request).error_code();
  }

  StatusCode Exec(const std::string& id) {
    cri::ExecSyncRequest request;
    request.set_container_id(id);
    request.add_cmd("true");
    return Ask(&Runtime::ExecSync, request).error_code();
  }

  StatusCode Create(const std::string& pod, const cri::ContainerConfig& config,
                    const cri::PodSandboxConfig& pod_config) {
    cri::CreateContainerRequest request;
    request.set_pod_sandbox_id(pod);
    *request.mutable_config() = config;
    *request.mutable_sandbox_config() = pod_config;
    return Ask(&Runtime::CreateContainer, request).error_code();
  }

  StatusCode Update(const std::string& id) {
    cri::UpdateContainerResourcesRequest request;
    request.set_container_id(id);
    *request.mutable_linux() = Resources(500, 32);
    return Ask(&Runtime::UpdateContainerResources, request).error_code();
  }

  static TestNode* node_;
};

TestNode* ErrorCodesE2eTest::node_ = nullptr;

TEST_F(ErrorCodesE2eTest, UnknownIdsAreNotFoundAndFineWhereGoneIsTheGoal) {
  EXPECT_EQ(OfContainer(&Runtime::StartContainer, kUnknown),
            StatusCode::NOT_FOUND);
  EXPECT_EQ(OfContainer(&Runtime::ContainerStatus, kUnknown),
            StatusCode::NOT_FOUND);
  EXPECT_EQ(OfContainer(&Runtime::ReopenContainerLog, kUnknown),
            StatusCode::NOT_FOUND);
  EXPECT_EQ(OfContainer(&Runtime::ContainerStats, kUnknown),
            StatusCode::NOT_FOUND);
  EXPECT_EQ(Exec(kUnknown), StatusCode::NOT_FOUND);
  cri::ExecRequest exec;
  exec.set_container_id(kUnknown);
  exec.add_cmd("true");
  exec.set_stdout(true);
  EXPECT_EQ(Ask(&Runtime::Exec, exec).error_code(), StatusCode::NOT_FOUND);
  cri::AttachRequest attach;
  attach.set_container_id(kUnknown);
  attach.set_stdout(true);
  EXPECT_EQ(Ask(&Runtime::Attach, attach).error_code(), StatusCode::NOT_FOUND);
  EXPECT_EQ(OfPod(&Runtime::PortForward, kUnknown), StatusCode::NOT_FOUND);
  EXPECT_EQ(Update(kUnknown), StatusCode::NOT_FOUND);
  cri::ExecSyncRequest backwards;
  backwards.set_timeout(-1);
  EXPECT_EQ(Ask(&Runtime::ExecSync, backwards).error_code(),
            StatusCode::INVALID_ARGUMENT);
  for (const int port : {-1, 0, 65536}) {
    cri::PortForwardRequest forward;
    forward.add_port(port);
    EXPECT_EQ(Ask(&Runtime::PortForward, forward).error_code(),
              StatusCode::INVALID_ARGUMENT)
        << port;
  }
  EXPECT_EQ(OfContainer(&Runtime::StopContainer, kUnknown), StatusCode::OK);
  EXPECT_EQ(OfContainer(&Runtime::RemoveContainer, kUnknown), StatusCode::OK);

  const cri::PodSandboxConfig pod = node_->PodConfig("unknown");
  EXPECT_EQ(Create(kUnknown, node_->ContainerConfig("c", "true"), pod),
            StatusCode::NOT_FOUND);
  EXPECT_EQ(OfPod(&Runtime::PodSandboxStatus, kUnknown), StatusCode::NOT_FOUND);
  EXPECT_EQ(OfPod(&Runtime::PodSandboxStats, kUnknown), StatusCode::NOT_FOUND);
  EXPECT_EQ(OfPod(&Runtime::UpdatePodSandboxResources, kUnknown),
            StatusCode::NOT_FOUND);
  EXPECT_EQ(OfPod(&Runtime::StopPodSandbox, kUnknown), StatusCode::OK);
  EXPECT_EQ(OfPod(&Runtime::RemovePodSandbox, kUnknown), StatusCode::OK);
}

TEST_F(ErrorCodesE2eTest, WhatCannotBeAnIdIsAnUnknownOne) {
  const std::string pod = node_->RunPod(node_->PodConfig("bystander"));
  for (const std::string& id :
       {std::string(), std::string("../../etc"), pod + "/../" + pod,
        pod.substr(0, 12) + "\n", pod + "," + pod, std::string(1, '\0') + pod,
        std::string(64 << 10, 'a'), std::string("%s%n*?")}) {
    const std::string shown = id.substr(0, 20);
    EXPECT_EQ(OfPod(&Runtime::PodSandboxStatus, id), StatusCode::NOT_FOUND)
        << shown;
    EXPECT_EQ(OfPod(&Runtime::StopPodSandbox, id), StatusCode::OK) << shown;
    EXPECT_EQ(OfPod(&Runtime::RemovePodSandbox, id), StatusCode::OK) << shown;
    EXPECT_EQ(OfContainer(&Runtime::ContainerStatus, id), StatusCode::NOT_FOUND)
        << shown;
    EXPECT_EQ(OfContainer(&Runtime::RemoveContainer, id), StatusCode::OK)
        << shown;
    EXPECT_EQ(Exec(id), StatusCode::NOT_FOUND) << shown;
  }
  EXPECT_EQ(node_->PodInfoText(pod, "/state"), "ready");
  node_->RemovePod(pod);
}

TEST_F(ErrorCodesE2eTest, WrongStatesAreFailedPreconditions) {
  node_->PullImage();
  const cri::PodSandboxConfig config = node_->PodConfig("states");
  const cri::ContainerConfig container = node_->ContainerConfig(
      "states", "trap 'exit 0' TERM; while :; do :; done");
  const std::string pod = node_->RunPod(config);
  const std::string id = node_->CreateContainer(pod, container, config);

  EXPECT_EQ(Exec(id), StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(OfContainer(&Runtime::ReopenContainerLog, id),
            StatusCode::FAILED_PRECONDITION);

  node_->StartContainer(id);
  EXPECT_EQ(OfContainer(&Runtime::StartContainer, id),
            StatusCode::FAILED_PRECONDITION);

  node_->StopContainer(id);
  EXPECT_EQ(OfContainer(&Runtime::StartContainer, id),
            StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(Exec(id), StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(Update(id), StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(OfContainer(&Runtime::ReopenContainerLog, id),
            StatusCode::FAILED_PRECONDITION);

  EXPECT_EQ(OfPod(&Runtime::StopPodSandbox, pod), StatusCode::OK);
  EXPECT_EQ(Create(pod, node_->ContainerConfig("late", "true"), config),
            StatusCode::FAILED_PRECONDITION);
  node_->RemovePod(pod);
}

TEST_F(ErrorCodesE2eTest, WhatIsNotBuiltIsUnimplemented) {
  const auto unbuilt = [this](auto rpc, const auto& request) {
    return Ask(rpc, request).error_code();
  };
  const StatusCode kUnbuilt = StatusCode::UNIMPLEMENTED;
  EXPECT_EQ(
      unbuilt(&Runtime::CheckpointContainer, cri::CheckpointContainerRequest()),
      kUnbuilt);
  EXPECT_EQ(unbuilt(&Runtime::CheckpointPod, cri::CheckpointPodRequest()),
            kUnbuilt);
  EXPECT_EQ(unbuilt(&Runtime::RestorePod, cri::RestorePodRequest()), kUnbuilt);
}

}  // namespace
}  // namespace podvisor::e2e
