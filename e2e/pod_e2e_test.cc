// Pods through the socket: life cycle, idempotency, lists, what a client that
// has just connected asks for.

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/unique_fd.h"
#include "e2e/test_node.h"
#include "gmock/gmock.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "gtest/gtest.h"

namespace podvisor::e2e {
namespace {

class PodE2eTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { node_ = new TestNode(); }
  static void TearDownTestSuite() { delete node_; }

  static std::vector<std::string> ListPods(
      const cri::PodSandboxFilter& filter) {
    cri::ListPodSandboxRequest request;
    *request.mutable_filter() = filter;
    cri::ListPodSandboxResponse response;
    Call call;
    EXPECT_TRUE(
        node_->runtime().ListPodSandbox(&call, request, &response).ok());
    std::vector<std::string> ids;
    for (const cri::PodSandbox& pod : response.items()) ids.push_back(pod.id());
    return ids;
  }

  static grpc::StatusCode Stop(const std::string& id) {
    cri::StopPodSandboxRequest request;
    request.set_pod_sandbox_id(id);
    cri::StopPodSandboxResponse response;
    Call call;
    return node_->runtime()
        .StopPodSandbox(&call, request, &response)
        .error_code();
  }

  static grpc::StatusCode StatusCode(const std::string& id) {
    cri::PodSandboxStatusRequest request;
    request.set_pod_sandbox_id(id);
    cri::PodSandboxStatusResponse response;
    Call call;
    return node_->runtime()
        .PodSandboxStatus(&call, request, &response)
        .error_code();
  }

  static TestNode* node_;
};

TestNode* PodE2eTest::node_ = nullptr;

TEST_F(PodE2eTest, VersionNamesTheRuntimeAndTheApi) {
  Call call;
  cri::VersionResponse version;
  ASSERT_TRUE(node_->runtime().Version(&call, {}, &version).ok());

  EXPECT_EQ(version.runtime_name(), "podvisor");
  EXPECT_EQ(version.runtime_api_version(), "v1");
  EXPECT_NE(version.runtime_version(), "");
}

// CVE-2023-4785.
TEST_F(PodE2eTest, ClientsThatTookEveryDescriptorOfTheDaemonLeaveItServing) {
  const std::string target =
      absl::StrCat("unix://", node_->directory(), "/run/podvisor.sock");
  const auto answers = [&](absl::Duration patience) {
    grpc::ChannelArguments fresh;  // or it is the connection that there is
    fresh.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    const auto stub = cri::RuntimeService::NewStub(grpc::CreateCustomChannel(
        target, grpc::InsecureChannelCredentials(), fresh));
    Call call(patience);
    cri::VersionResponse version;
    return stub->Version(&call, {}, &version).ok();
  };
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  target.copy(address.sun_path, sizeof(address.sun_path) - 1,
              strlen("unix://"));
  const pid_t daemon = node_->daemon().pid;
  rlimit before = {};
  ASSERT_EQ(prlimit(daemon, RLIMIT_NOFILE, nullptr, &before), 0);
  const rlimit few = {64, before.rlim_max};
  ASSERT_EQ(prlimit(daemon, RLIMIT_NOFILE, &few, nullptr), 0);
  {
    std::vector<UniqueFd> clients;
    for (int i = 0; i < 100; ++i) {
      clients.emplace_back(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
      EXPECT_EQ(connect(clients.back().get(),
                        reinterpret_cast<sockaddr*>(&address), sizeof(address)),
                0);
    }
    EXPECT_FALSE(answers(absl::Seconds(1)));
  }
  ASSERT_EQ(prlimit(daemon, RLIMIT_NOFILE, &before, nullptr), 0);

  EXPECT_TRUE(answers(absl::Seconds(20)));
}

TEST_F(PodE2eTest, StatusIsReadyWithTheNetwork) {
  cri::StatusRequest request;
  request.set_verbose(true);
  cri::StatusResponse response;
  Call call;
  ASSERT_TRUE(node_->runtime().Status(&call, request, &response).ok());

  ASSERT_EQ(response.status().conditions_size(), 2);
  EXPECT_TRUE(response.status().conditions(0).status());
  EXPECT_TRUE(response.status().conditions(1).status())
      << response.status().conditions(1).message();
  EXPECT_THAT(response.info().at("info"), testing::HasSubstr("accelerator"));
}

TEST_F(PodE2eTest, AKubeletFindsTheCgroupDriverAndMaySendItsPodRange) {
  cri::RuntimeConfigResponse config;
  Call ask;
  ASSERT_TRUE(node_->runtime().RuntimeConfig(&ask, {}, &config).ok());
  // As cgroup_driver of the node's configuration says, by default.
  EXPECT_EQ(config.linux().cgroup_driver(), cri::CGROUPFS);

  cri::UpdateRuntimeConfigRequest range;
  range.mutable_runtime_config()->mutable_network_config()->set_pod_cidr(
      "10.1.0.0/16");
  cri::UpdateRuntimeConfigResponse done;
  Call tell;
  EXPECT_TRUE(node_->runtime().UpdateRuntimeConfig(&tell, range, &done).ok());
}

TEST_F(PodE2eTest, APodIsReadyThenStoppedThenGone) {
  const cri::PodSandboxConfig config = node_->PodConfig("life");
  const std::string pod = node_->RunPod(config);
  cri::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(pod);
  cri::PodSandboxStatusResponse response;
  Call call;
  ASSERT_TRUE(
      node_->runtime().PodSandboxStatus(&call, request, &response).ok());
  EXPECT_EQ(response.status().state(), cri::SANDBOX_READY);
  EXPECT_EQ(response.status().metadata().name(), "life");
  EXPECT_EQ(response.status().labels().at("app"), "life");
  EXPECT_GT(response.status().created_at(), 0);

  EXPECT_EQ(Stop(pod), grpc::StatusCode::OK);
  EXPECT_EQ(Stop(pod), grpc::StatusCode::OK);  // again
  cri::PodSandboxFilter not_ready;
  not_ready.mutable_state()->set_state(cri::SANDBOX_NOTREADY);
  EXPECT_THAT(ListPods(not_ready), testing::Contains(pod));

  node_->RemovePod(pod);
  node_->RemovePod(pod);  // again
  EXPECT_EQ(StatusCode(pod), grpc::StatusCode::NOT_FOUND);
}

TEST_F(PodE2eTest, TheSameRequestGivesTheSamePod) {
  const cri::PodSandboxConfig config = node_->PodConfig("same");
  const std::string pod = node_->RunPod(config);

  EXPECT_EQ(node_->RunPod(config), pod);

  cri::PodSandboxConfig other = config;
  (*other.mutable_labels())["app"] = "changed";
  cri::RunPodSandboxRequest request;
  *request.mutable_config() = other;
  cri::RunPodSandboxResponse response;
  Call call;
  EXPECT_EQ(
      node_->runtime().RunPodSandbox(&call, request, &response).error_code(),
      grpc::StatusCode::ALREADY_EXISTS);
  node_->RemovePod(pod);
}

TEST_F(PodE2eTest, EveryStepIsAnEventWithThePodAsItIsThen) {
  node_->PullImage();
  Call stream_call(absl::Minutes(3));
  const auto stream = node_->runtime().GetContainerEvents(&stream_call, {});
  std::vector<cri::ContainerEventResponse> events;
  std::thread reader([&] {
    cri::ContainerEventResponse event;
    while (events.size() < 8 && stream->Read(&event)) events.push_back(event);
  });

  const cri::PodSandboxConfig config = node_->PodConfig("told");
  const std::string pod = node_->RunPod(config);
  const std::string container = node_->CreateContainer(
      pod, node_->ContainerConfig("main", "exec sleep 600"), config);
  node_->StartContainer(container);
  node_->StopContainer(container);
  node_->RemovePod(pod);
  reader.join();
  stream_call.TryCancel();
  (void)stream->Finish();

  std::vector<std::pair<std::string, int>> told;
  for (const auto& event : events) {
    told.emplace_back(event.container_id(), event.container_event_type());
    EXPECT_EQ(event.pod_sandbox_status().metadata().name(), "told");
    EXPECT_GT(event.created_at(), 0);
  }
  using testing::Pair;
  ASSERT_THAT(
      told, testing::ElementsAre(Pair(pod, cri::CONTAINER_CREATED_EVENT),
                                 Pair(pod, cri::CONTAINER_STARTED_EVENT),
                                 Pair(container, cri::CONTAINER_CREATED_EVENT),
                                 Pair(container, cri::CONTAINER_STARTED_EVENT),
                                 Pair(container, cri::CONTAINER_STOPPED_EVENT),
                                 Pair(pod, cri::CONTAINER_STOPPED_EVENT),
                                 Pair(container, cri::CONTAINER_DELETED_EVENT),
                                 Pair(pod, cri::CONTAINER_DELETED_EVENT)));
  ASSERT_EQ(events[3].containers_statuses_size(), 1);
  EXPECT_EQ(events[3].containers_statuses(0).state(), cri::CONTAINER_RUNNING);
  EXPECT_EQ(events[7].pod_sandbox_status().state(), cri::SANDBOX_NOTREADY);
}

TEST_F(PodE2eTest, UniquePrefixesOfIdsAreEnough) {
  const std::string pod = node_->RunPod(node_->PodConfig("prefix"));

  EXPECT_EQ(StatusCode(pod.substr(0, 13)), grpc::StatusCode::OK);
  cri::PodSandboxFilter filter;
  filter.set_id(pod.substr(0, 13));
  EXPECT_THAT(ListPods(filter), testing::ElementsAre(pod));
  filter.set_id("no such pod");
  EXPECT_THAT(ListPods(filter), testing::IsEmpty());
  node_->RemovePod(pod);
}

}  // namespace
}  // namespace podvisor::e2e
